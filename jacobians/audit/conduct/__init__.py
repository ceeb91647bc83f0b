"""What calls do besides computing values: each kind of conduct is one function of the run that yields findings."""
