package judge

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the pages are files
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// Canary is one of the pages that Handler serves besides its answers. They never
// change, so that whoever knows them sees what was done to them on the way.
type Canary struct {
	Name string // the last part of its path
	Type string // its Content-Type
	Body string
	mark string // what no other page has
}

var (
	//go:embed canary.html
	canaryHTML string
	//go:embed canary.png
	canaryPNG string
)

// Canaries returns the pages: one of HTML, which is what injectors look for, and a picture.
func Canaries() []Canary {
	return []Canary{
		{"canary.html", "text/html; charset=utf-8", canaryHTML, "Freeway canary page"},
		{"canary.png", "image/png", canaryPNG, "\x89PNG\r\n"},
	}
}

// canaryAt returns the page that a path asks for, whatever comes before the name.
func canaryAt(p string) (Canary, bool) {
	name := path.Base(p)
	for _, c := range Canaries() {
		if c.Name == name {
			return c, true
		}
	}
	return Canary{}, false
}

// serve writes the page, compressed when the request wants that. Intermediaries
// are not asked to keep their hands off it: that is what is to be seen.
func (c Canary) serve(w http.ResponseWriter, r *http.Request) {
	h, body := w.Header(), []byte(c.Body)
	h.Set("Content-Type", c.Type)
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		z.Write(body) // memory does not fail
		z.Close()
		body = zipped.Bytes()
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		w.Write(body) // the client may be gone; nobody is left to tell
	}
}

// errEncoding is of an encoding that nobody asked for.
var errEncoding = errors.New("in an encoding that was not asked for")

// Check compares what came with the page: the bytes of the body as they were
// sent, and their Content-Encoding. zipped says whether gzip was asked for. What
// was only packed otherwise has come intact; packed then says how. Else the error
// matches ErrForeign (another page), ErrCut (its beginning) or ErrAltered, which
// names the first bytes that differ.
func (c Canary) Check(body []byte, encoding string, zipped bool) (packed string, err error) {
	got, err := Unpack(body, encoding)
	want := []byte(c.Body)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "", ErrCut
	case errors.Is(err, errEncoding):
		return "", fmt.Errorf("%w: packed as %s, which was not asked for", ErrForeign, Printable(encoding, 40))
	case err != nil && bytes.Equal(body, want):
		return "", fmt.Errorf("%w: said to be packed and is not", ErrForeign)
	case err != nil:
		return "", &alteredError{"damaged where it was compressed"}
	case bytes.Equal(got, want):
		return repacked(encoding, zipped), nil
	case bytes.HasPrefix(want, got):
		return "", ErrCut
	case !bytes.Contains(got, []byte(c.mark)):
		return "", ErrForeign
	case c.Type == "image/png" && samePicture(got, want):
		return "the picture was packed anew without loss", nil
	}
	return "", &alteredError{difference(got, want)}
}

// repacked says how a page was packed that came intact, "" for as asked.
func repacked(encoding string, zipped bool) string {
	switch packed := encoding != "" && !strings.EqualFold(encoding, "identity"); {
	case zipped && !packed:
		return "compression was taken off"
	case packed && !zipped:
		return "compressed, though that was not asked for"
	}
	return ""
}

// unpackers are kept, since every one has a window of 32 KB.
var unpackers = sync.Pool{New: func() any { return new(gzip.Reader) }}

// Unpack undoes a Content-Encoding of gzip, up to MaxAnswer bytes and one. An early end is
// io.ErrUnexpectedEOF; with an error what is unpacked so far is of no use.
func Unpack(body []byte, encoding string) ([]byte, error) {
	switch strings.ToLower(encoding) {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		z := unpackers.Get().(*gzip.Reader)
		defer unpackers.Put(z)
		err := z.Reset(bytes.NewReader(body))
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		return io.ReadAll(io.LimitReader(z, MaxAnswer+1))
	}
	return nil, errEncoding
}

// samePicture reports whether two PNGs show the same, bit for bit.
func samePicture(a, b []byte) bool {
	ca, err := png.DecodeConfig(bytes.NewReader(a))
	cb, err2 := png.DecodeConfig(bytes.NewReader(b))
	if err != nil || err2 != nil || ca.Width != cb.Width || ca.Height != cb.Height {
		return false // before anything of a size that others choose is allocated
	}
	ia, err := png.Decode(bytes.NewReader(a))
	ib, err2 := png.Decode(bytes.NewReader(b))
	if err != nil || err2 != nil {
		return false
	}
	for y := range ca.Height {
		for x := range ca.Width {
			r1, g1, b1, a1 := ia.At(x, y).RGBA()
			r2, g2, b2, a2 := ib.At(x, y).RGBA()
			if r1 != r2 || g1 != g2 || b1 != b2 || a1 != a2 {
				return false
			}
		}
	}
	return true
}

// difference says what was done to a page, with the first bytes of it.
func difference(got, want []byte) string {
	head := 0
	for head < min(len(got), len(want)) && got[head] == want[head] {
		head++
	}
	tail := 0
	for tail < min(len(got), len(want))-head && got[len(got)-1-tail] == want[len(want)-1-tail] {
		tail++
	}
	gone := len(want) - head - tail
	if gone == 0 { // an element reads better from its beginning
		for k := 1; k <= head && got[head-k] == got[len(got)-tail-k]; k++ {
			if got[head-k] == '<' {
				head, tail = head-k, tail+k
				break
			}
		}
	}
	part := got[head : len(got)-tail]
	at := " at byte " + strconv.Itoa(head)
	switch {
	case gone == 0:
		return "injected " + strconv.Itoa(len(part)) + " bytes" + at + ": " + strconv.Quote(Printable(string(part), evidence))
	case len(part) == 0:
		return "took " + strconv.Itoa(gone) + " bytes away" + at
	default:
		return "changed " + strconv.Itoa(gone) + " bytes" + at + " to: " + strconv.Quote(Printable(string(part), evidence))
	}
}

// evidence is how many bytes of a difference are kept.
const evidence = 80

// alteredError is ErrAltered with what was done.
type alteredError struct{ how string }

// Error says what was done.
func (e *alteredError) Error() string { return e.how }

// Is makes it an ErrAltered.
func (e *alteredError) Is(target error) bool { return target == ErrAltered }

// Printable keeps foreign text harmless: visible ASCII, at most n bytes and an ellipsis.
func Printable(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
