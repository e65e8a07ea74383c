"""The workloads, a module each with its `WORKLOADS`; `benchmarks.registry` lists them."""
