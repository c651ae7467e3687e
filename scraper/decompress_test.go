package scraper_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"freeway/scraper"
)

// packers write each content coding.
var packers = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"x-gzip":  func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriterLevel(w, 1) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"zstd":    func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
}

func pack(t *testing.T, coding string, r io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	w := packers[coding](&b)
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// blanks is an endless row of empty lines.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

func decodeAll(packed []byte, header string, limit int64) (string, error) {
	r, err := scraper.Decode(bytes.NewReader(packed), header, limit)
	if err != nil {
		return "", err
	}
	out, err := io.ReadAll(r)
	return string(out), err
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const want = "1.1.1.1:80\n8.8.8.8:3128\n"
	for coding := range packers {
		if got, err := decodeAll(pack(t, coding, strings.NewReader(want)), coding, 100); got != want || err != nil {
			t.Errorf("decode %s = %q, %v, want %q", coding, got, err, want)
		}
	}
	for _, coding := range []string{"gzip", "zstd"} { // shown by the content alone
		if got, err := decodeAll(pack(t, coding, strings.NewReader(want)), "", 100); got != want || err != nil {
			t.Errorf("decode %s without a header = %q, %v, want %q", coding, got, err, want)
		}
	}
	var bare bytes.Buffer
	w, _ := flate.NewWriter(&bare, 9)
	io.WriteString(w, want)
	w.Close()
	if got, err := decodeAll(bare.Bytes(), "deflate", 100); got != want || err != nil {
		t.Errorf("decode bare deflate = %q, %v, want %q", got, err, want)
	}
	twice := pack(t, "br", bytes.NewReader(pack(t, "gzip", strings.NewReader(want))))
	if got, err := decodeAll(twice, "gzip, BR", 100); got != want || err != nil {
		t.Errorf("decode gzip, br = %q, %v, want %q", got, err, want)
	}
	for _, header := range []string{"", "identity", "none"} {
		if got, err := decodeAll([]byte(want), header, 100); got != want || err != nil {
			t.Errorf("decode %q = %q, %v, want %q", header, got, err, want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, header, body string }{
		{"unknown", "compress", "x"}, {"three layers", "gzip, gzip, gzip", "x"},
		{"text for gzip", "gzip", "1.1.1.1:80\n"}, {"text for zstd", "zstd", "1.1.1.1:80\n"}, {"text for br", "br", "1.1.1.1:80 and more\n"},
		{"cut gzip", "gzip", string(pack(t, "gzip", strings.NewReader("1.1.1.1:80\n"))[:15])},
	} {
		if got, err := decodeAll([]byte(c.body), c.header, 1000); err == nil {
			t.Errorf("%s: decode(%q) = %q, want an error", c.name, c.header, got)
		}
	}
	for coding := range packers {
		if got, err := decodeAll(nil, coding, 10); got != "" || err != nil && coding != "br" {
			t.Errorf("decode %s of nothing = %q, %v, want nothing", coding, got, err)
		}
	}
}

// threat 52: each content coding, at the limit exactly.
//
// TestBombs reads bodies that unpack to many times the limit.
func TestBombs(t *testing.T) {
	const size, limit = 10 << 20, 2 << 20
	for coding := range packers {
		bomb := pack(t, coding, io.LimitReader(blanks{}, size))
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept-Encoding"), strings.TrimPrefix(coding, "x-")) {
				t.Errorf("Accept-Encoding = %q, want %s in it", r.Header.Get("Accept-Encoding"), coding)
			}
			w.Header().Set("Content-Encoding", coding)
			w.Write(bomb)
		})
		r := open(t, scraper.Config{MaxBytes: limit}, list(scraper.Source{Name: "a", URL: url}))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		res, err := r.once(t, "a")
		runtime.ReadMemStats(&after)
		if !errors.Is(err, scraper.ErrTooLarge) || res.Bytes != limit {
			t.Errorf("%s: RunNow() = %v after %d bytes, want ErrTooLarge after %d", coding, err, res.Bytes, limit)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 24<<20 {
			t.Errorf("%s: %d MiB were allocated in all, want at most 24", coding, used>>20)
		}
	}
}

// TestEmptyMembers is a gzip body that grows without giving a byte.
func TestEmptyMembers(t *testing.T) {
	t.Parallel()
	empty := pack(t, "gzip", strings.NewReader(""))
	if _, err := decodeAll(bytes.Repeat(empty, 10_000), "gzip", 100_000); !errors.Is(err, scraper.ErrTooLarge) {
		t.Errorf("decode of endless empty members = %v, want ErrTooLarge", err)
	}
}

func TestExactlyTheLimit(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{9: nil, 10: nil, 11: scraper.ErrTooLarge} {
		if _, err := decodeAll(bytes.Repeat([]byte("a"), n), "", 10); !errors.Is(err, want) {
			t.Errorf("decode of %d bytes with a limit of 10 = %v, want %v", n, err, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("1.1.1.1:80\n"), "")
	f.Add([]byte{0x1f, 0x8b, 8, 0}, "gzip, br")
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x24}, "zstd")
	f.Fuzz(func(t *testing.T, body []byte, header string) {
		const limit = 1 << 20
		out, err := decodeAll(body, header, limit)
		if err == nil && len(out) > limit {
			t.Errorf("decode(%q) gave %d bytes, want at most %d", header, len(out), limit)
		}
	})
}
