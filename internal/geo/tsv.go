package geo

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

const (
	maxImport = 512 << 20 // bytes of a list without compression
	maxLine   = 4096      // bytes
	maxRanges = 4_000_000
)

// Import makes a compact table of a list in the form of iptoasn.com, plain or
// gzipped (three columns: first, last, country; or five: first, last, number
// of the system, country, name), with the date, source and licence of info. A
// compact table is taken as it is, with what it says itself. Every line has to
// be right. The database is what the table holds.
func Import(r io.Reader, info Info) ([]byte, *Database, error) {
	in := bufio.NewReader(r)
	head, _ := in.Peek(len(magic)) // what is shorter is a list, and a wrong one
	var file []byte
	var err error
	switch {
	case string(head) == magic:
		file, err = io.ReadAll(io.LimitReader(in, maxFile+1))
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		var z *gzip.Reader
		if z, err = gzip.NewReader(in); err == nil {
			file, err = importTSV(z, info)
		}
	default:
		file, err = importTSV(in, info)
	}
	if err != nil {
		return nil, nil, err
	}
	t, err := decode(file)
	if err != nil {
		return nil, nil, err
	}
	return file, &Database{table: t}, nil
}

func importTSV(r io.Reader, info Info) ([]byte, error) {
	var b Builder
	if err := b.AddTSV(r); err != nil {
		return nil, err
	}
	return b.Table(info)
}

// AddTSV adds the ranges of a list in the form of iptoasn.com, see Import.
func (b *Builder) AddTSV(r io.Reader) error {
	limited := &io.LimitedReader{R: r, N: maxImport}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, maxLine), maxLine)
	n := 0
	for lines.Scan() {
		n++
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" || line[0] == '#' {
			continue
		}
		if err := b.addLine(line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if len(b.v4)+len(b.v6) > maxRanges {
			return fmt.Errorf("line %d: more than %d ranges", n, maxRanges)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("after line %d: %w", n, err)
	}
	if limited.N == 0 {
		return fmt.Errorf("the list has over %d bytes", maxImport)
	}
	if len(b.v4)+len(b.v6) == 0 {
		return errors.New("the list names no range")
	}
	return nil
}

// addLine reads one range.
func (b *Builder) addLine(line string) error {
	f := strings.Split(line, "\t")
	if len(f) != 3 && len(f) != 5 {
		return fmt.Errorf("%d columns, 3 or 5 are wanted: %.60q", len(f), line)
	}
	first, err := netip.ParseAddr(f[0])
	if err != nil {
		return fmt.Errorf("%.60q is no address", f[0])
	}
	last, err := netip.ParseAddr(f[1])
	if err != nil {
		return fmt.Errorf("%.60q is no address", f[1])
	}
	if len(f) == 3 {
		return b.Add(first, last, f[2], 0, "")
	}
	asn, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return fmt.Errorf("%.60q is no number of a system", f[2])
	}
	return b.Add(first, last, f[3], uint32(asn), f[4])
}
