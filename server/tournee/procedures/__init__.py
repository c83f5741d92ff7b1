"""Procedures: checklists in published versions, their runs on the job and the answers given."""
