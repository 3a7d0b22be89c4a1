"""How fast it is here, and how near to what is possible. What is measured, and why: docs/decisions/0008-benchmarks.md.

drawn --> streams --> row (one clip in one mode, beside its floor) --> alone (a process for each row) --> figures
"""
