"""Results as pages: each one HTML file that a browser shows without a network, also without JavaScript."""
