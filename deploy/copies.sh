#!/bin/sh
# The chart and the kustomize component hold copies of rules and dashboard, since
# neither reads files outside its folder. This writes them anew; a test compares.
set -eu
cd "$(dirname "$0")"
cp prometheus/freeway.rules.yml grafana/freeway.json helm/freeway/files/
{
	printf 'apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: freeway\n  labels: {app.kubernetes.io/name: freeway}\nspec:\n'
	sed 's/^./  &/' prometheus/freeway.rules.yml
} > kustomize/components/monitoring/prometheusrule.yaml
