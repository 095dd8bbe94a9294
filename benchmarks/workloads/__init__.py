"""One workload, one module: a driver as a good user would write it, and the checks that it did its work.

The same source runs three ways: compiled in one group with the core, interpreted over the compiled core, and
interpreted over the interpreted core. `benchmarks.registry` knows them by name.
"""
