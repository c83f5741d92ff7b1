"""The mapping file: it says which column becomes which field, and what happens to bad values."""

from tournee.importing.mapping.model import Mapping, UnusableMapping, load_mapping

__all__ = ["Mapping", "UnusableMapping", "load_mapping"]
