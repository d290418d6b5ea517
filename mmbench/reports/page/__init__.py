"""The page: clips, figures and data in one HTML file."""
