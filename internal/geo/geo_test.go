package geo_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"freeway/internal/geo"
)

// database writes a small file with two networks, one for each layout.
func database(t testing.TB) string {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test", RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	insert := func(cidr string, m mmdbtype.Map) {
		_, n, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Insert(n, m); err != nil {
			t.Fatal(err)
		}
	}
	insert("1.2.0.0/16", mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")},
		"autonomous_system_number": mmdbtype.Uint32(24940), "autonomous_system_organization": mmdbtype.String("Hetzner")})
	insert("9.9.9.0/24", mmdbtype.Map{"country_code": mmdbtype.String("us"), "asn": mmdbtype.String("AS19281"), "as_name": mmdbtype.String("Quad9")})
	insert("8.8.0.0/16", mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String("<b>")}, "autonomous_system_number": mmdbtype.Uint32(1)})
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLookup(t *testing.T) {
	t.Parallel()
	d, err := geo.Open(database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, tt := range []struct {
		addr, country, org string
		asn                uint32
	}{
		{"1.2.3.4", "DE", "Hetzner", 24940},
		{"::ffff:1.2.3.4", "DE", "Hetzner", 24940},
		{"9.9.9.9", "US", "Quad9", 19281},
		{"8.8.8.8", "", "", 1},
		{"5.5.5.5", "", "", 0},
	} {
		country, asn, org := d.Lookup(netip.MustParseAddr(tt.addr))
		if country != tt.country || asn != tt.asn || org != tt.org {
			t.Errorf("Lookup(%s) = %q, %d, %q, want %q, %d, %q", tt.addr, country, asn, org, tt.country, tt.asn, tt.org)
		}
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "geo.mmdb")
	if err := os.WriteFile(path, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path + ".missing"} {
		if d, err := geo.Open(p); err == nil {
			d.Close()
			t.Errorf("Open(%s) took it", filepath.Base(p))
		}
	}
}
