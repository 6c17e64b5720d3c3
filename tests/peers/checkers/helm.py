"""Lints a chart of Helm, strictly, and prints what it renders to: helm.py CHART NAMESPACE VALUES-AS-JSON."""

import json
import sys

from helm_python.chart import Chart, lint

chart, namespace, values = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
report = lint(chart, values, strict=True, namespace=namespace)
# 1 is a remark, such as that there is no icon.
faults = [message for message in report["messages"] if message["severity"] > 1]
if report["errors"] or faults:
    sys.exit(json.dumps(report, indent=1))
rendered = Chart.load(chart).render(values, name="towline-agent", namespace=namespace, is_install=True)
print("\n---\n".join(rendered[path] for path in sorted(rendered)))
