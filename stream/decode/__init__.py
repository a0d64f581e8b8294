"""What runs inside the decoder process: PyAV and NumPy only."""
