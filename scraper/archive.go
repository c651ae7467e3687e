package scraper

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/andybalholm/brotli"

	"freeway/proxy"
)

const (
	maxArchive      = 64 << 20  // of a ZIP file, which must be in memory
	maxMembers      = 1000      // of an archive that are read
	maxPacks        = 3         // archives within archives
	defaultUnpacked = 256 << 20 // ParseOptions.MaxBytes when it is 0
)

// errUnpacked ends a list that unpacks to more than ParseOptions.MaxBytes.
var errUnpacked = errors.New("unpacks to too much")

// packing names the way in which a list is packed that begins with head; ""
// for none.
func packing(head []byte) string {
	switch {
	// RFC 1952; 8 is deflate
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b, 8}):
		return "gzip"
	// RFC 8878
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return "zstd"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "zip"
	// RFC 1950, with the levels whose headers are no text
	case len(head) > 2 && head[0] == 0x78 && (head[1] == 0x01 || head[1] == 0x9c || head[1] == 0xda):
		return "deflate"
	case len(head) > 10 && bytes.HasPrefix(head, []byte("BZh")) && bytes.HasPrefix(head[4:], []byte("1AY&SY")):
		return "bzip2"
	// POSIX.1-1988, in the first header
	case len(head) > 262 && string(head[257:262]) == "ustar":
		return "tar"
	case isBase64(head):
		return "base64"
	case isBrotli(head):
		return "br"
	}
	return ""
}

// isBrotli tries to unpack what is no text, because Brotli has no mark of its
// own.
func isBrotli(head []byte) bool {
	const shortest, enough = 8, 512
	if len(head) < shortest || charsetOf(head, "") != "" || !bytes.ContainsFunc(head[:min(len(head), enough)], isControl) {
		return false
	}
	out := make([]byte, enough)
	n, _ := io.ReadFull(brotli.NewReader(bytes.NewReader(head)), out)
	out = out[:n]
	return n >= shortest && validUTF8(out) && !bytes.ContainsFunc(out, isControl)
}

// isControl knows the characters that no text holds.
func isControl(r rune) bool {
	return r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' && r != 0x1b
}

// unpack reads what is packed in r: one list, or the files of an archive one
// after the other, each with a format of its own. Layers may be packed in each
// other; what all of them together may give is limited, not each by itself.
func (e *emitter) unpack(r io.Reader, name string) error {
	// A file that unpacks to itself would never end.
	if e.packs++; e.packs > maxPacks {
		return fmt.Errorf("%d archives within each other, at most %d", e.packs, maxPacks)
	}
	defer func() { e.packs-- }()
	// The outermost archive counts all bytes of those inside.
	if e.stats.Packed == "" {
		e.stats.Packed = name
		e.left = defaultUnpacked
		if e.o.MaxBytes > 0 {
			e.left = e.o.MaxBytes
		}
	}
	var err error
	switch name {
	case "zip":
		return e.unzip(r)
	case "tar":
		return e.untar(r)
	case "bzip2":
		r = bzip2.NewReader(r)
	case "base64":
		r = base64.NewDecoder(base64.RawStdEncoding, &base64Text{r: r})
	default:
		r, err = decoder(r, name)
	}
	if err == nil {
		err = e.open(&unpacked{r: r, left: &e.left})
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// unpacked gives an error when more than left was read, by it and others that
// share left.
type unpacked struct {
	r    io.Reader
	left *int64
}

// Read implements io.Reader.
func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	// The bytes over the limit are not given, so what is read is at most the limit.
	if *u.left -= int64(n); *u.left < 0 {
		return 0, errUnpacked
	}
	return n, err
}

// unzip reads the files of a ZIP archive one after the other.
func (e *emitter) unzip(r io.Reader) error {
	// The directory of a ZIP file is at its end.
	b, err := io.ReadAll(io.LimitReader(r, maxArchive+1))
	if err != nil {
		return err
	}
	if len(b) > maxArchive {
		return fmt.Errorf("a ZIP file over %v", proxy.Size(maxArchive))
	}
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return fmt.Errorf("zip: %w", err)
	}
	for _, f := range z.File[:min(len(z.File), maxMembers)] {
		// The consumer may have had enough.
		if f.FileInfo().IsDir() || e.done {
			continue
		}
		member, err := f.Open()
		if err == nil {
			err = e.member(member)
			_ = member.Close()
		}
		if err = e.lost(f.Name, err); err != nil {
			return err
		}
	}
	if more := len(z.File) - maxMembers; more > 0 && !e.done {
		e.surplus(more)
	}
	return nil
}

// surplus says how many files of an archive are not read.
func (e *emitter) surplus(more int) {
	e.line = 0
	e.reject(nil, fmt.Sprintf("an archive of more than %d files; %d are not read", maxMembers, more))
}

// untar reads the files of a tar archive one after the other.
func (e *emitter) untar(r io.Reader) error {
	t := tar.NewReader(&unpacked{r: r, left: &e.left})
	for range maxMembers {
		h, err := t.Next()
		// Neither an error nor more to read.
		if errors.Is(err, io.EOF) || e.done {
			return nil
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		// Links and devices are nothing to read.
		if h.Typeflag != tar.TypeReg {
			continue
		}
		// Lines count within their file.
		e.line = 0
		if err := e.lost(h.Name, e.text(t)); err != nil {
			return err
		}
	}
	return e.countRest(t)
}

// countRest tells how many files of a tar archive are left.
func (e *emitter) countRest(t *tar.Reader) error {
	more := 0
	_, err := t.Next()
	for ; err == nil; _, err = t.Next() {
		more++
	}
	if more > 0 && !e.done {
		e.surplus(more)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("tar: %w", err)
}

// errBinary is why a picture in an archive is not read.
var errBinary = errors.New("not text")

// text is open for a file of an archive, which may be anything: what is neither
// packed nor text is an error.
func (e *emitter) text(r io.Reader) error {
	const enough = 512 // what DetectContentType looks at
	b := bufio.NewReaderSize(r, sniffWindow)
	head, _ := b.Peek(sniffWindow)
	start := head[:min(len(head), enough)]
	wide := strings.HasPrefix(charsetOf(head, ""), "utf-") // two or four bytes a letter
	if packing(head) == "" && !wide && !strings.HasPrefix(http.DetectContentType(start), "text/") && bytes.ContainsFunc(start, isControl) {
		return errBinary
	}
	return e.open(b)
}

// member reads a file of an archive. Its lines count from 1.
func (e *emitter) member(r io.Reader) error {
	e.line = 0
	return e.text(&unpacked{r: r, left: &e.left})
}

// lost passes on the errors that end everything; others cost one file.
func (e *emitter) lost(name string, err error) error {
	if err == nil || errors.Is(err, errUnpacked) {
		return err
	}
	if errors.Is(err, errBinary) {
		e.reject([]byte(name), "a file of the archive that is no text")
	} else {
		e.reject([]byte(name), "a file of the archive that cannot be read")
	}
	return nil
}

// isBase64 reports whether a whole list is written in base64, as subscriptions
// are: nothing but its letters, and text with addresses inside.
func isBase64(head []byte) bool {
	// Lists hold dots and colons, which base64 does not.
	const shortest = 20
	head = trimSpace(head)
	if len(head) < shortest {
		return false
	}
	// One other byte is enough to say no, and most lists have it at once.
	for _, c := range head {
		if !isDigit(c) && !isLetter(c) && bytes.IndexByte([]byte("+/=-_\r\n"), c) < 0 {
			return false
		}
	}
	out, _ := io.ReadAll(base64.NewDecoder(base64.RawStdEncoding, &base64Text{r: bytes.NewReader(head)}))
	if len(out) < shortest/2 || !bytes.ContainsAny(out, ".[") || !bytes.ContainsAny(out, ":") {
		return false
	}
	return validUTF8(out) && bytes.IndexFunc(out, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' }) < 0
}

// base64Text drops what is not a letter of base64 and turns the letters of the
// URL alphabet into those of the standard one.
type base64Text struct{ r io.Reader }

// Read implements io.Reader.
func (t *base64Text) Read(p []byte) (int, error) {
	for {
		n, err := t.r.Read(p)
		out := p[:0]
		for _, c := range p[:n] {
			switch {
			case isDigit(c) || isLetter(c) || c == '+' || c == '/':
				out = append(out, c)
			case c == '-':
				out = append(out, '+')
			case c == '_':
				out = append(out, '/')
			}
		}
		if len(out) > 0 || err != nil || len(p) == 0 {
			return len(out), err
		}
	}
}
