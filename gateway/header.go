package gateway

import (
	"strings"

	"freeway/internal/http1"
)

// normal writes a field name in lower case with - for _ into buf. Longer names
// than buf are cut: no name that matters is that long.
func normal(buf []byte, name string) []byte {
	n := copy(buf, name)
	for i, c := range buf[:n] {
		switch {
		case 'A' <= c && c <= 'Z':
			buf[i] = c + 'a' - 'A'
		case c == '_':
			buf[i] = '-'
		}
	}
	return buf[:n]
}

// forProxies reports whether a request field is for the gateway or tells about
// the client, in any spelling, and so never reaches an upstream. Those of tracing
// do: they would join what one client asks for through different exits.
func forProxies(name string) bool {
	var buf [32]byte
	switch n := string(normal(buf[:], name)); n {
	case "connection", "keep-alive", "te", "trailer", "upgrade", "http2-settings", "expect", "via", "forwarded",
		"x-remote-ip", "x-remote-addr", "x-originating-ip", "x-proxyuser-ip", "cf-connecting-ip",
		"traceparent", "tracestate", "baggage", "b3", "uber-trace-id", "sentry-trace", "x-cloud-trace-context", "x-amzn-trace-id",
		"elastic-apm-traceparent", "newrelic", "x-ot-span-context":
		return true
	default:
		for _, prefix := range forProxiesPrefixes {
			if strings.HasPrefix(n, prefix) {
				return true
			}
		}
		// X-Real-IP, True-Client-IP, X-Cluster-Client-IP, WL-Proxy-Client-IP, Fastly-Client-IP and the like
		return strings.HasSuffix(n, "client-ip") || strings.HasSuffix(n, "clientip") || strings.HasSuffix(n, "real-ip")
	}
}

// forProxiesPrefixes are beginnings of further ones, normalised.
var forProxiesPrefixes = [...]string{"proxy-", "x-forwarded", "freeway-", "x-b3-", "x-datadog-", "ot-tracer-", "ot-baggage-", "uberctx-"}

// hopByHop reports whether an answer's field ends at the gateway. Proxy-Status
// passes: it may be the target's side that speaks.
func hopByHop(name string) bool {
	var buf [32]byte
	switch n := string(normal(buf[:], name)); n {
	case "connection", "keep-alive", "te", "trailer", "upgrade", "transfer-encoding":
		return true
	case "proxy-status":
		return false
	default:
		return strings.HasPrefix(n, "proxy-") || strings.HasPrefix(n, "freeway-")
	}
}

// framingField reports whether a field cannot be dropped by naming it in Connection.
func framingField(name string) bool {
	return http1.EqualFold(name, "Host") || http1.EqualFold(name, "Content-Length") || http1.EqualFold(name, "Transfer-Encoding")
}

// clean removes the fields that drop names and those listed in Connection. The
// list is read before anything is removed.
func clean(h *http1.Header, drop func(string) bool) {
	var listed []string
	for name := range h.Tokens("Connection") {
		if !framingField(name) {
			listed = append(listed, name)
		}
	}
	h.DelFunc(func(name string) bool {
		for _, l := range listed {
			if http1.EqualFold(l, name) {
				return true
			}
		}
		return drop(name)
	})
}
