"""Speed and memory of the builders, as ratios to what merely filling the same arrays takes."""
