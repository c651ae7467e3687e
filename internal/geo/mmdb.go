package geo

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

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

func lookupMMDB(reader *maxminddb.Reader, a netip.Addr) (country string, asn uint32, org string) {
	found := reader.Lookup(a)
	if !found.Found() {
		return "", 0, ""
	}
	return decodeMMDB(found)
}

func decodeMMDB(found maxminddb.Result) (country string, asn uint32, org string) {
	var r record
	if err := found.Decode(&r); err == nil && (r.Country.ISO != "" || r.ASN != 0) {
		return code(r.Country.ISO), r.ASN, clean(r.Org, maxName)
	}
	var f flatRecord
	if err := found.Decode(&f); err != nil {
		return "", 0, ""
	}
	n, _ := strconv.ParseUint(strings.TrimPrefix(f.ASN, "AS"), 10, 32) // 0 when it is not a number
	return code(f.Country), uint32(n), clean(f.Org, maxName)
}

func infoMMDB(r *maxminddb.Reader, path string) Info {
	m := r.Metadata
	return Info{Path: path, Kind: clean(m.DatabaseType, maxName), Date: m.BuildTime().UTC(), Source: clean(m.Description["en"], maxText),
		IPv4: -1, IPv6: -1, Countries: -1, Systems: -1}
}

// AddDatabase adds every network of a MaxMind DB, or nothing of a compact table.
func (b *Builder) AddDatabase(d *Database) error {
	if d.reader == nil {
		return fmt.Errorf("%s is no MaxMind DB", d.path)
	}
	for found := range d.reader.Networks() {
		if err := found.Err(); err != nil {
			return fmt.Errorf("%s: %w", d.path, err)
		}
		country, asn, org := decodeMMDB(found)
		p := found.Prefix()
		if err := b.Add(p.Addr(), lastOf(p), country, asn, org); err != nil {
			return fmt.Errorf("%s: %w", d.path, err)
		}
	}
	return nil
}

// lastOf is the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(raw) // of 4 or 16 bytes, as it was
	return a
}
