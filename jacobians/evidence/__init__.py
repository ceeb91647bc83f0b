"""What a verdict rests on: the arithmetic that `jacobians.verify` and `jacobians.audit` share."""
