"""Mutants of the package's own code: small wrong versions of it, each of which some test has to notice.

Cosmic Ray's operators make the mutants (`mutants`). They are tried here, in memory (`trial`), since neither well-kept
tool fits these tests. Cosmic Ray's own runner starts Python anew for each of thousands of mutants, some seconds each,
changes files in place, and takes no samples. mutmut forks, as is done here, but leaves out what stands in tables of a
module and all decorated functions, so the shapes of `Geometry`, and it runs tests twice in one process, which a test
with an iterator among its parameters does not survive.
"""
