"""What the package costs, side by side with what else there is: ``python -m tests.benchmarks``."""
