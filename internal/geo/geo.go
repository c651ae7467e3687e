// Package geo says in which country and autonomous system an address is: from
// a MaxMind DB file of the operator, from a compact table that the operator
// fetched, or from the table that is part of the program. Nobody is asked over
// the network.
package geo

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

//go:generate make -C ../.. geo

// builtin is the table that "make geo" wrote.
//
//go:embed places.geo
var builtin []byte

// Database is an open file or table. Its methods are safe for concurrent use.
type Database struct {
	reader *maxminddb.Reader // nil: table is used
	table  *table
	path   string
}

// Info says what a database is and what it knows. Texts of a MaxMind DB are
// cut and cleaned like the names of organisations.
type Info struct {
	Path      string    // "": built in
	Kind      string    // "table", or the type that a MaxMind DB gives itself
	Date      time.Time // when the data was made, UTC
	Source    string    // who made the data, at most 200 bytes
	Licence   string    // at most 200 bytes; "": its publisher knows
	IPv4      int       // ranges of IPv4; -1: not counted
	IPv6      int       // ranges of IPv6; -1: not counted
	Countries int       // -1: not counted
	Known     uint64    // addresses of IPv4 whose place is known; 0: not counted
	Systems   int       // autonomous systems; -1: not counted
	Bytes     int       // in memory; 0: the file is mapped
}

// Builtin decodes the table that is part of the program, which takes some
// milliseconds and allocates it anew: call it once.
func Builtin() (*Database, error) {
	t, err := decode(builtin)
	if err != nil {
		return nil, fmt.Errorf("built-in geo table: %w", err)
	}
	return &Database{table: t}, nil
}

// Open reads the file at path, a MaxMind DB or a compact table. The error
// names the path.
func Open(path string) (*Database, error) {
	compact, err := IsTable(path)
	if err != nil {
		return nil, fmt.Errorf("open geo database: %w", err) // it names the path
	}
	if compact {
		return openTable(path)
	}
	r, err := maxminddb.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open geo database %s: %w", path, err)
	}
	return &Database{reader: r, path: path}, nil
}

// IsTable reports whether the file at path begins like a compact table.
func IsTable(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f, head); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return bytes.Equal(head, []byte(magic)), nil
}

func openTable(path string) (*Database, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open geo table: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	var t *table
	if err == nil {
		t, err = decode(b)
	}
	if err != nil {
		return nil, fmt.Errorf("open geo table %s: %w", path, err)
	}
	return &Database{table: t, path: path}, nil
}

// Close releases the file. Lookup must not be called afterwards.
func (d *Database) Close() error {
	if d.reader == nil {
		return nil
	}
	return d.reader.Close()
}

// Lookup returns the country (ISO 3166-1 alpha-2, upper case), the autonomous
// system and its name, at most 64 bytes without control characters. What the
// database does not know is zero, and so is everything about an address that
// is not public, if a compact table is used. A table's lookup allocates nothing.
func (d *Database) Lookup(a netip.Addr) (country string, asn uint32, org string) {
	if d.reader != nil {
		return lookupMMDB(d.reader, a.Unmap())
	}
	return d.table.lookup(a.Unmap())
}

// Info describes the database.
func (d *Database) Info() Info {
	if d.reader != nil {
		return infoMMDB(d.reader, d.path)
	}
	info := d.table.info
	info.Path, info.Bytes, info.Known = d.path, d.table.size(), d.table.known()
	return info
}

// KnowsSystems reports whether lookups may name autonomous systems. For a
// MaxMind DB it is always true: only lookups tell.
func (d *Database) KnowsSystems() bool { return d.reader != nil || len(d.table.asns) > 1 }
