"""All workloads, in the order of the report. A new one is a module here and a line below."""

from benchmarks.workload import Workload
from benchmarks.workloads import line_fit, softmax_regression

WORKLOADS: dict[str, Workload] = {
    workload.name: workload for workload in (line_fit.WORKLOAD, softmax_regression.WORKLOAD)
}
