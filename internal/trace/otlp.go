package trace

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"time"
)

// The types of this file are ExportTraceServiceRequest of OTLP 1 in its JSON
// encoding: names in lowerCamelCase, ids in hexadecimal digits, 64-bit numbers
// as strings, enumerations as numbers.

type request struct {
	ResourceSpans []resourceSpans `json:"resourceSpans"`
}

type resourceSpans struct {
	Resource   resource     `json:"resource"`
	ScopeSpans []scopeSpans `json:"scopeSpans"`
}

type resource struct {
	Attributes []keyValue `json:"attributes"`
}

type scopeSpans struct {
	Scope scope      `json:"scope"`
	Spans []spanJSON `json:"spans"`
}

type scope struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

type spanJSON struct {
	TraceID    string     `json:"traceId"`
	SpanID     string     `json:"spanId"`
	ParentID   string     `json:"parentSpanId,omitempty"`
	Flags      uint32     `json:"flags"` // W3C: sampled
	Name       string     `json:"name"`
	Kind       Kind       `json:"kind"`
	Start      string     `json:"startTimeUnixNano"`
	End        string     `json:"endTimeUnixNano"`
	Attributes []keyValue `json:"attributes,omitempty"`
	Status     *status    `json:"status,omitempty"`
}

type status struct {
	Message string `json:"message,omitempty"`
	Code    int    `json:"code"` // 2: error
}

type keyValue struct {
	Key   string   `json:"key"`
	Value anyValue `json:"value"`
}

type anyValue struct {
	String *string `json:"stringValue,omitempty"`
	Bool   *bool   `json:"boolValue,omitempty"`
	Int    *string `json:"intValue,omitempty"`
}

// encode returns the request for some traces.
func encode(service []Attr, version string, traces []recorded) ([]byte, error) {
	var spans []spanJSON
	for i := range traces {
		spans = appendSpan(spans, traces[i].id, "", &traces[i].span)
	}
	return json.Marshal(request{[]resourceSpans{{Resource: resource{attributes(service)},
		ScopeSpans: []scopeSpans{{Scope: scope{Name: "freeway", Version: version}, Spans: spans}}}}})
}

// appendSpan appends a span and those below it.
func appendSpan(out []spanJSON, id ID, parent string, s *Span) []spanJSON {
	own := spanID()
	j := spanJSON{TraceID: id.String(), SpanID: own, ParentID: parent, Flags: 1, Name: s.Name, Kind: s.Kind, Start: nano(s.Start), End: nano(s.End),
		Attributes: attributes(s.Attrs)}
	if j.Kind == 0 {
		j.Kind = Internal
	}
	if s.Failed != "" {
		j.Status = &status{Message: s.Failed, Code: 2}
	}
	out = append(out, j)
	for i := range s.Below {
		out = appendSpan(out, id, own, &s.Below[i])
	}
	return out
}

// spanID makes an id that is not zero, which would mean none.
func spanID() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], rand.Uint64()|1)
	return hex.EncodeToString(b[:])
}

// nano is a time as OTLP has it.
func nano(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixNano(), 10)
}

// attributes leaves out what has no encoding here.
func attributes(in []Attr) []keyValue {
	out := make([]keyValue, 0, len(in))
	for _, a := range in {
		kv := keyValue{Key: a.Key}
		switch v := a.Value.(type) {
		case string:
			kv.Value.String = &v
		case bool:
			kv.Value.Bool = &v
		case int:
			s := strconv.Itoa(v)
			kv.Value.Int = &s
		case int64:
			s := strconv.FormatInt(v, 10)
			kv.Value.Int = &s
		default:
			continue
		}
		out = append(out, kv)
	}
	return out
}
