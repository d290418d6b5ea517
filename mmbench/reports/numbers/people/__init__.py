"""What people said in numbers: means over raters and identities, strengths, agreement among them and with metrics."""
