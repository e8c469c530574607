"""Numbers and pictures from a trained model."""
