package scraper_test

import (
	"bytes"
	"compress/zlib"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"golang.org/x/text/encoding/unicode"

	"freeway/scraper"
)

// TestPackedWithoutMarks reads what nothing but the content tells apart.
func TestPackedWithoutMarks(t *testing.T) {
	t.Parallel()
	list := strings.Repeat("45.9.8.7:80\n45.9.8.6:81\n", 40)
	var z, br bytes.Buffer
	zw := zlib.NewWriter(&z)
	bw := brotli.NewWriter(&br)
	for _, w := range []interface {
		Write([]byte) (int, error)
		Close() error
	}{zw, bw} {
		if _, err := w.Write([]byte(list)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wide := func(e unicode.Endianness, s string) string {
		out, err := unicode.UTF16(e, unicode.IgnoreBOM).NewEncoder().String(s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, tt := range map[string]struct{ in, packed, charset string }{
		"zlib":             {z.String(), "deflate", ""},
		"brotli":           {br.String(), "br", ""},
		"zipped brotli":    {zipped(t, br.String()), "zip", ""},
		"UTF-16, Cyrillic": {wide(unicode.LittleEndian, "Прокси\n"+list), "", "utf-16le"},
		"UTF-16, Chinese":  {wide(unicode.BigEndian, "代理IP,端口,国家\n"+strings.ReplaceAll(list, ":", ",")), "", "utf-16be"},
	} {
		var stats scraper.ParseStats
		got := found(t, tt.in, scraper.ParseOptions{Stats: func(s scraper.ParseStats) { stats = s }})
		if want := []string{"- 45.9.8.7:80", "- 45.9.8.6:81"}; !slices.Equal(got, want) {
			t.Errorf("%s: Parse() = %q, want %q", name, got, want)
		}
		if stats.Packed != tt.packed || stats.Charset != tt.charset {
			t.Errorf("%s: packed %q, charset %q, want %q, %q", name, stats.Packed, stats.Charset, tt.packed, tt.charset)
		}
	}
}

// TestArchivesObeyMaxBytes unpacks no more than a list may have.
func TestArchivesObeyMaxBytes(t *testing.T) {
	t.Parallel()
	z := zipped(t, strings.Repeat("45.9.8.7:80\n", 2000))
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(z)) })
	r := open(t, scraper.Config{MaxBytes: 10_000}, scraper.Sources{})
	if _, err := r.Fetch(t.Context(), scraper.Source{URL: url}); err == nil || !strings.Contains(err.Error(), "unpacks to too much") {
		t.Errorf("Fetch() of a ZIP over max_bytes: error %v, want one that it unpacks to too much", err)
	}
}
