// Package trace sends spans to an OpenTelemetry collector: OTLP over HTTP, in
// the JSON encoding of the protocol.
//
// Spans are made afterwards, from what was noted of a request, a check or a run:
// while nothing is traced nothing is paid for. The SDK of OpenTelemetry would add
// 1.2 MB to the program and its exporter 2.2 MB more; this is what of it is needed.
package trace
