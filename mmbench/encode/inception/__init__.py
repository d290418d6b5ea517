"""The Inception network of FID and the Inception Score, and its class probabilities."""
