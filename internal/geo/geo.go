// Package geo says in which country and autonomous system an address is, from
// a MaxMind DB file of the operator (GeoLite2, DB-IP Lite, IPinfo Lite and the
// like). No such file comes with Freeway: without one, places are unknown.
package geo

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// Database is an open file. Its methods are safe for concurrent use.
type Database struct{ reader *maxminddb.Reader }

// Open reads the file at path. The error names the path.
func Open(path string) (*Database, error) {
	r, err := maxminddb.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open geo database %s: %w", path, err)
	}
	return &Database{r}, nil
}

// Close releases the file. Lookup must not be called afterwards.
func (d *Database) Close() error { return d.reader.Close() }

// record has the fields of the common layouts: MaxMind's and DB-IP's nested
// country, IPinfo's flat one, and the two spellings of the system's number.
type record struct {
	Country struct {
		ISO string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	ASN uint32 `maxminddb:"autonomous_system_number"`
	Org string `maxminddb:"autonomous_system_organization"`
}

type flatRecord struct {
	Country string `maxminddb:"country_code"`
	ASN     string `maxminddb:"asn"`
	Org     string `maxminddb:"as_name"`
}

// Lookup returns the country (ISO 3166-1 alpha-2, upper case), the autonomous
// system and its name. What the database does not know is zero.
func (d *Database) Lookup(a netip.Addr) (country string, asn uint32, org string) {
	found := d.reader.Lookup(a.Unmap())
	if !found.Found() {
		return "", 0, ""
	}
	var r record
	if err := found.Decode(&r); err == nil && (r.Country.ISO != "" || r.ASN != 0) {
		return code(r.Country.ISO), r.ASN, r.Org
	}
	var f flatRecord
	if err := found.Decode(&f); err != nil {
		return "", 0, ""
	}
	n, _ := strconv.ParseUint(strings.TrimPrefix(f.ASN, "AS"), 10, 32) // 0 when it is not a number
	return code(f.Country), uint32(n), f.Org
}

// code accepts nothing but two letters: the file is foreign text.
func code(s string) string {
	if len(s) != 2 {
		return ""
	}
	s = strings.ToUpper(s)
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return ""
		}
	}
	return s
}
