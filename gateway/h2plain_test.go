package gateway_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"freeway/gateway"
)

// streamOf sends a request with these fields in HTTP/2, with a body where one is
// given as the last, and returns the fields of the answer and its body, or how the
// stream was reset.
func streamOf(t *testing.T, conn interface {
	Write([]byte) (int, error)
	Read([]byte) (int, error)
}, fields ...string) (head http.Header, body, reset string) {
	t.Helper()
	_, _ = conn.Write([]byte(http2.ClientPreface))
	fr := http2.NewFramer(conn, conn)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = fr.WriteSettings()
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes(), EndStream: len(fields)%2 == 0, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	if len(fields)%2 == 1 {
		_ = fr.WriteData(1, true, []byte(fields[len(fields)-1]))
	}
	head = http.Header{}
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatalf("%v after %v %q", err, head, body)
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			for _, h := range f.Fields {
				head.Add(h.Name, h.Value)
			}
		case *http2.DataFrame:
			body += string(f.Data())
		case *http2.RSTStreamFrame:
			return head, body, f.ErrCode.String()
		}
		if h := f.Header(); h.StreamID == 1 && h.Flags.Has(http2.FlagDataEndStream) {
			return head, body, ""
		}
	}
}

// TestPlainRequestsInHTTP2 are served like those in HTTP/1.1, or refused with a reason.
func TestPlainRequestsInHTTP2(t *testing.T) {
	t.Parallel()
	o := origin(t)
	host := strings.TrimPrefix(o.URL, "http://")
	_, addr, roots := secured(t, gateway.Config{}, honest(t))
	for _, tt := range []struct {
		name   string
		fields []string
		status string
	}{
		{"http", []string{":method", "GET", ":scheme", "http", ":authority", host, ":path", "/x"}, "200"},
		{"http, no authority", []string{":method", "GET", ":scheme", "http", ":path", "/x", "host", host}, "200"},
		{"http, two hosts", []string{":method", "GET", ":scheme", "http", ":authority", host, ":path", "/x", "host", host}, "200"},
		{"http, cookies", []string{":method", "GET", ":scheme", "http", ":authority", host, ":path", "/x", "cookie", "a=1", "cookie", "b=2", "te", "trailers"}, "200"},
		{"http, empty body", []string{":method", "GET", ":scheme", "http", ":authority", host, ":path", "/x", ""}, "200"},
		{"http, POST", []string{":method", "POST", ":scheme", "http", ":authority", host, ":path", "/x", "body"}, "200"},
		{"http, POST of a length", []string{":method", "POST", ":scheme", "http", ":authority", host, ":path", "/x", "content-length", "4", "body"}, "200"},
		{"http, login", []string{":method", "GET", ":scheme", "http", ":authority", host, ":path", "/x", "proxy-authorization", "Basic x"}, "407"},
		{"http, body of a refused one", []string{":method", "POST", ":scheme", "http", ":authority", "10.0.0.1", ":path", "/x", "body"}, "403"},
		{"http, no host", []string{":method", "GET", ":scheme", "http", ":path", "/x"}, "400"},
		{"http, HEAD", []string{":method", "HEAD", ":scheme", "http", ":authority", host, ":path", "/x"}, "200"},
		{"http, OPTIONS", []string{":method", "OPTIONS", ":scheme", "http", ":authority", host, ":path", "*"}, "400"},
		{"http, bad path", []string{":method", "GET", ":scheme", "http", ":authority", host, ":path", "/a b"}, "400"},
		{"http, private", []string{":method", "GET", ":scheme", "http", ":authority", "10.0.0.1", ":path", "/"}, "403"},
		{"https", []string{":method", "GET", ":scheme", "https", ":authority", host, ":path", "/"}, "400"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head, body, reset := streamOf(t, dialTLS(t, addr, roots, "h2"), tt.fields...)
			if reset != "" || len(head[":status"]) == 0 || head[":status"][0] != tt.status {
				t.Errorf("answer %v %q, reset %q, want %s", head, body, reset, tt.status)
			}
			if tt.status != "200" && (head.Get("Proxy-Status") == "" || head.Get("Freeway-Request-Id") == "") {
				t.Errorf("answer %v without its marks", head)
			}
		})
	}
}
