package judge_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"image/png"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"freeway/internal/judge"
)

func zip(t *testing.T, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// repack encodes a picture anew.
func repack(t *testing.T, picture string) string {
	t.Helper()
	m, err := png.Decode(strings.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestCanary(t *testing.T) {
	t.Parallel()
	pages := judge.Canaries()
	page, picture := pages[0], pages[1]
	insert := func(at, text string) string { return strings.Replace(page.Body, at, text+at, 1) }
	var deflated bytes.Buffer
	z := zlib.NewWriter(&deflated)
	io.WriteString(z, page.Body)
	z.Close()
	flipped := []byte(zip(t, page.Body))
	flipped[len(flipped)-8] ^= 1 // in the checksum of gzip
	for _, tt := range []struct {
		name     string
		page     judge.Canary
		body     string
		encoding string
		zipped   bool
		packed   string
		err      error
		how      string // what the error says
	}{
		{"intact", page, page.Body, "", false, "", nil, ""},
		{"intact, zipped", page, zip(t, page.Body), "GZip", true, "", nil, ""},
		{"intact picture", picture, picture.Body, "identity", false, "", nil, ""},
		{"compression taken off", page, page.Body, "", true, "compression was taken off", nil, ""},
		{"compressed", page, zip(t, page.Body), "gzip", false, "compressed, though that was not asked for", nil, ""},
		{"picture packed anew", picture, repack(t, picture.Body), "", false, "the picture was packed anew without loss", nil, ""},
		{"script", page, insert("</body>", "<script>x</script>"), "", false, "", judge.ErrAltered, `injected 18 bytes at byte `},
		{"script, zipped", page, zip(t, insert("</body>", "<script>x</script>")), "gzip", true, "", judge.ErrAltered, `"<script>x</script>`},
		{"appended", page, page.Body + "<!-- ad -->\x00\xff", "", false, "", judge.ErrAltered, `injected 13 bytes at byte `},
		{"long and not printable", page, insert("<h1>", strings.Repeat("\x1b[31m", 100)), "", false, "", judge.ErrAltered, `injected 500 bytes`},
		{"link made insecure", page, strings.ReplaceAll(page.Body, "https:", "http:"), "", false, "", judge.ErrAltered, "changed "},
		{"minified", page, strings.ReplaceAll(page.Body, "\n", ""), "", false, "", judge.ErrAltered, "at byte 15"},
		{"script taken out", page, strings.Replace(page.Body, `<link rel="stylesheet" href="style.css">`, "", 1), "", false, "", judge.ErrAltered, "took 40 bytes away at byte "},
		{"cut", page, page.Body[:1000], "", false, "", judge.ErrCut, ""},
		{"cut, zipped", page, zip(t, page.Body)[:500], "gzip", true, "", judge.ErrCut, ""},
		{"empty, zipped", page, "", "gzip", true, "", judge.ErrCut, ""},
		{"empty", page, "", "", false, "", judge.ErrCut, ""},
		{"picture cut", picture, picture.Body[:2000], "", false, "", judge.ErrCut, ""},
		{"byte flipped", picture, strings.Replace(picture.Body, "IDAT", "IDAU", 1), "", false, "", judge.ErrAltered, `changed 1 bytes at byte `},
		{"another page", page, "<html><title>Log in</title></html>", "", false, "", judge.ErrForeign, ""},
		{"another format", picture, "\xff\xd8\xff\xe0JFIF", "", false, "", judge.ErrForeign, ""},
		{"strange encoding", page, deflated.String(), "deflate", true, "", judge.ErrForeign, "deflate"},
		{"wrong header", page, page.Body, "gzip", true, "", judge.ErrForeign, "is not"},
		{"damaged", page, string(flipped), "gzip", true, "", judge.ErrAltered, "damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			packed, err := tt.page.Check([]byte(tt.body), tt.encoding, tt.zipped)
			if packed != tt.packed || !errors.Is(err, tt.err) || err == nil != (tt.err == nil) {
				t.Fatalf("Check = %q, %v, want %q, %v", packed, err, tt.packed, tt.err)
			}
			if err == nil {
				return
			}
			if s := err.Error(); !strings.Contains(s, tt.how) || len(s) > 200 || strings.ContainsAny(s, "\x00\x1b") {
				t.Errorf("the error is %q, want %q in it, short and printable", s, tt.how)
			}
		})
	}
}

func TestHandlerServesCanaries(t *testing.T) {
	t.Parallel()
	h := judge.Handler(judge.Options{Key: []byte(key)})
	for _, c := range judge.Canaries() {
		for _, accept := range []string{"", "gzip", "br, gzip;q=0.8"} {
			for _, path := range []string{"/", "/a/b/"} {
				r := httptest.NewRequest("GET", "http://judge.example"+path+c.Name+"?nonce=1", nil)
				r.Header.Set("Accept-Encoding", accept)
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				packed, err := c.Check(w.Body.Bytes(), w.Header().Get("Content-Encoding"), accept != "")
				if w.Code != 200 || err != nil || packed != "" || w.Header().Get("Content-Type") != c.Type {
					t.Errorf("%s with %q: %d %v, packed %q, %v", c.Name, accept, w.Code, w.Header(), packed, err)
				}
			}
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("HEAD", "/canary.png", nil))
	if w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD is answered with %d bytes, %v", w.Body.Len(), w.Header())
	}
}

func FuzzCanary(f *testing.F) {
	for i, c := range judge.Canaries() {
		f.Add(i, []byte(c.Body), "gzip")
		f.Add(i, []byte(c.Body), "")
	}
	f.Fuzz(func(t *testing.T, i int, body []byte, encoding string) {
		pages := judge.Canaries()
		c := pages[uint(i)%uint(len(pages))]
		_, err := c.Check(body, encoding, false)
		if err == nil && encoding == "" && c.Type != "image/png" && string(body) != c.Body {
			t.Errorf("%q passes as %s", body, c.Name)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("a long error: %q", err)
		}
	})
}
