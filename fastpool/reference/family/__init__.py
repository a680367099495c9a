"""The oracle of the family: what its operations are, in plain NumPy, slow and obviously right."""
