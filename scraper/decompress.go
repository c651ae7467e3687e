package scraper

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"freeway/proxy"
)

const (
	// acceptEncoding is what decode understands.
	acceptEncoding = "gzip, br, zstd, deflate"

	// maxCodings is how many layers of Content-Encoding are taken off.
	maxCodings = 2

	// zstdWindow is the largest window that HTTP allows (RFC 9659).
	zstdWindow = 8 << 20

	sniffLen = 4096 // what is buffered to look at how a body begins
)

// errTooLarge is in the error of a list that is larger than Config.MaxBytes.
var errTooLarge = errors.New("larger than scraper.max_bytes")

// capped gives at most left bytes of r and then errTooLarge, never a clean end
// that is none. n counts what came.
type capped struct {
	r     io.Reader
	limit proxy.Size
	n     int64
}

// Read implements io.Reader.
func (c *capped) Read(p []byte) (int, error) {
	left := int64(c.limit) - c.n
	if left <= 0 { // an end here is a clean one
		n, err := c.r.Read(make([]byte, 1))
		if n > 0 {
			return 0, fmt.Errorf("%w (%v)", errTooLarge, c.limit)
		}
		return 0, err
	}
	n, err := c.r.Read(p[:min(int64(len(p)), left)])
	c.n += int64(n)
	return n, err
}

// decode takes the codings of a Content-Encoding header off r, the last one
// first, and then one layer of gzip or zstd that the content itself shows. The
// result is capped by limit, and so is what goes in: a gzip body of nothing
// but empty members grows without giving a byte.
func decode(r io.Reader, encoding string, limit proxy.Size) (*capped, error) {
	r = &capped{r: r, limit: limit}
	names := codings(encoding)
	if len(names) > maxCodings {
		return nil, fmt.Errorf("%d content encodings, at most %d", len(names), maxCodings)
	}
	for i := len(names) - 1; i >= 0; i-- {
		var err error
		if r, err = decoder(r, names[i]); err != nil {
			return nil, err
		}
	}
	b := bufio.NewReaderSize(r, sniffLen)
	name, err := compressed(b)
	if err != nil {
		return nil, err
	}
	if r = b; name != "" {
		if r, err = decoder(b, name); err != nil {
			return nil, err
		}
	}
	return &capped{r: r, limit: limit}, nil
}

// codings splits a Content-Encoding header; identity is left out.
func codings(header string) []string {
	var out []string
	for name := range strings.SplitSeq(header, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "" && name != "identity" && name != "none" && name != "utf-8" { // some servers write the last two
			out = append(out, name)
		}
	}
	return out
}

// compressed names the coding whose magic number b begins with, "" for none.
func compressed(b *bufio.Reader) (string, error) {
	head, err := b.Peek(4)
	switch {
	case err != nil && !errors.Is(err, io.EOF): // the reader would not say it twice
		return "", fmt.Errorf("read the list: %w", err)
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}): // RFC 1952
		return "gzip", nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878
		return "zstd", nil
	}
	return "", nil
}

// decoder takes one coding off r.
func decoder(r io.Reader, name string) (io.Reader, error) {
	switch name {
	case "gzip", "x-gzip":
		return &lazy{r: r, open: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }}, nil
	case "br":
		return brotli.NewReader(r), nil
	case "zstd":
		return &lazy{r: r, open: openZstd}, nil
	case "deflate":
		return &lazy{r: r, open: openDeflate}, nil
	}
	return nil, fmt.Errorf("unknown content encoding %q", clip(name, 32))
}

// openZstd decodes in the caller's goroutine, so there is nothing to close.
func openZstd(r io.Reader) (io.Reader, error) {
	return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(4*zstdWindow))
}

// openDeflate reads zlib (RFC 9110 section 8.4.1.2) and, as browsers do, also
// bare deflate.
func openDeflate(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, sniffLen)
	head, err := b.Peek(2)
	if len(head) == 0 {
		return nil, err
	}
	if len(head) == 2 && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 { // RFC 1950 section 2.2
		return zlib.NewReader(b)
	}
	return flate.NewReader(b), nil
}

// lazy opens a decoder at the first Read, because opening reads. An empty
// input is an empty output.
type lazy struct {
	r    io.Reader
	open func(io.Reader) (io.Reader, error)
	dec  io.Reader
	err  error // of opening
}

// Read implements io.Reader.
func (l *lazy) Read(p []byte) (int, error) {
	if l.dec == nil && l.err == nil {
		l.dec, l.err = l.open(l.r)
	}
	if l.err != nil {
		return 0, l.err
	}
	return l.dec.Read(p)
}
