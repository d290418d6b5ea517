"""What rows say in numbers: samples, intervals, comparisons, verdicts."""
