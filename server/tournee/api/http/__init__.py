"""What clients may ask of the endpoint beyond one operation and its answer."""
