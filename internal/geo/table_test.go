package geo_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"freeway/internal/geo"
)

// builtin is the real table, decoded once for all tests.
var builtin = sync.OnceValues(geo.Builtin)

func opened(t testing.TB) *geo.Database {
	t.Helper()
	d, err := builtin()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// day is the date of the tables that tests make.
var day = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)

// build makes a table of lines "first last asn country org...".
func build(t testing.TB, lines ...string) []byte {
	t.Helper()
	var b geo.Builder
	for _, line := range lines {
		f := strings.SplitN(line, " ", 5)
		var asn uint32
		if _, err := fmt.Sscan(f[2], &asn); err != nil {
			t.Fatal(err)
		}
		if err := b.Add(netip.MustParseAddr(f[0]), netip.MustParseAddr(f[1]), f[3], asn, strings.Join(f[4:], "")); err != nil {
			t.Fatal(err)
		}
	}
	file, err := b.Table(geo.Info{Date: day, Source: "a test", Licence: "none"})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// put writes a table to a file and opens it.
func put(t testing.TB, file []byte) *geo.Database {
	t.Helper()
	d, err := geo.Open(write(t, file))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func write(t testing.TB, file []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "places.geo")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// want is what a lookup has to return.
type want struct {
	addr, country, org string
	asn                uint32
}

func check(t *testing.T, d interface {
	Lookup(netip.Addr) (string, uint32, string)
}, all ...want) {
	t.Helper()
	for _, w := range all {
		country, asn, org := d.Lookup(netip.MustParseAddr(w.addr))
		if country != w.country || asn != w.asn || org != w.org {
			t.Errorf("Lookup(%s) = %q, %d, %q, want %q, %d, %q", w.addr, country, asn, org, w.country, w.asn, w.org)
		}
	}
}

// TestBuiltin asks the table that is shipped for addresses whose owners do not
// move.
func TestBuiltin(t *testing.T) {
	t.Parallel()
	d := opened(t)
	for addr, country := range map[string]string{
		"8.8.8.8": "US", "::ffff:8.8.8.8": "US", "88.198.0.1": "DE", "193.0.6.139": "NL", "202.12.29.205": "AU",
		"2001:4860:4860::8888": "US", "2606:4700:4700::1111": "US", "2a01:4f8::1": "DE",
		"10.1.2.3": "", "192.168.0.1": "", "172.16.5.4": "", "127.0.0.1": "", "0.0.0.0": "", "169.254.1.1": "", "224.0.0.1": "", "255.255.255.255": "",
		"::": "", "::1": "", "fe80::1": "", "fd00::1": "", "ff02::1": "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "", "2001:db8::1": "",
	} {
		if got, _, _ := d.Lookup(netip.MustParseAddr(addr)); got != country {
			t.Errorf("Lookup(%s) = %q, want %q", addr, got, country)
		}
	}
	i := d.Info()
	if i.Path != "" || i.Date.Year() < 2026 || !strings.Contains(i.Licence, "PDDL") || !strings.Contains(i.Source, "iptoasn.com") {
		t.Errorf("Info() = %+v", i)
	}
	if i.IPv4 < 200_000 || i.IPv6 < 80_000 || i.Countries < 200 || i.Known < 2_500_000_000 || i.Bytes > 8<<20 {
		t.Errorf("Info() = %+v, want all that is routed in at most 8 MiB", i)
	}
	if d.KnowsSystems() != (i.Systems > 0) {
		t.Errorf("KnowsSystems() = %v with %d systems", d.KnowsSystems(), i.Systems)
	}
}

// TestEdges: the first and the last address of a range belong to it, those
// beside it do not.
func TestEdges(t *testing.T) {
	t.Parallel()
	d := put(t, build(t,
		"9.0.0.0 9.0.0.255 64500 DE Nine", "8.0.0.0 8.0.0.1 0 FR", "9.0.1.0 9.0.1.0 64501 DE Ten",
		"223.255.255.0 223.255.255.255 4294967295 JP Last", "1.0.0.0 1.255.255.255 0 AU", "2.0.0.0 2.0.0.9 0 au", "3.0.0.0 3.0.0.9 7 None Nowhere",
		"2a00:1::1 2a00:1:0:3:ffff:ffff:ffff:ffff 64500 SE Nine", "2a00:2:: 2a00:2:0:0:ffff:ffff:ffff:fffe 1 NO", "2a00:3:: 2a00:3::ffff:ffff:ffff:ffff 64500 NO Other"))
	check(t, d,
		want{"8.255.255.255", "", "", 0}, want{"9.0.0.0", "DE", "Nine", 64500}, want{"9.0.0.255", "DE", "Nine", 64500},
		want{"9.0.1.0", "DE", "Ten", 64501}, want{"9.0.1.1", "", "", 0},
		want{"7.255.255.255", "", "", 0}, want{"8.0.0.0", "FR", "", 0}, want{"8.0.0.1", "FR", "", 0}, want{"8.0.0.2", "", "", 0},
		want{"223.255.254.255", "", "", 0}, want{"223.255.255.255", "JP", "Last", 4294967295}, want{"224.0.0.0", "", "", 0},
		want{"0.255.255.255", "", "", 0}, want{"1.255.255.255", "AU", "", 0}, want{"2.0.0.9", "AU", "", 0}, want{"2.0.0.10", "", "", 0},
		want{"3.0.0.5", "", "Nowhere", 7},
		want{"2a00:1::5", "", "", 0}, want{"2a00:1:0:1::", "SE", "Nine", 64500}, want{"2a00:1:0:3:ffff:ffff:ffff:ffff", "SE", "Nine", 64500}, want{"2a00:1:0:4::", "", "", 0},
		want{"2a00:2::1", "", "", 0}, want{"2a00:3::1", "NO", "Nine", 64500}, want{"2a00:3:0:1::", "", "", 0})
	i := d.Info()
	if !i.Date.Equal(day) || i.Source != "a test" || i.Licence != "none" || i.Countries != 6 || i.Systems != 4 || i.Known != 256+2+1+256+1<<24+10+10 {
		t.Errorf("Info() = %+v", i)
	}
}

// TestBuilderRefuses: what is no range, and ranges that overlap.
func TestBuilderRefuses(t *testing.T) {
	t.Parallel()
	a := netip.MustParseAddr
	var b geo.Builder
	for _, r := range [][2]netip.Addr{{a("2.0.0.0"), a("1.0.0.0")}, {a("1.0.0.0"), a("2a00::")}, {{}, a("1.0.0.0")}} {
		if err := b.Add(r[0], r[1], "DE", 0, ""); err == nil {
			t.Errorf("Add(%s, %s) took it", r[0], r[1])
		}
	}
	for _, last := range []string{"9.0.0.9", "9.0.0.5"} {
		if err := b.Add(a("9.0.0.0"), a(last), "DE", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Table(geo.Info{Date: day}); err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("Table of overlapping ranges = %v", err)
	}
}

// TestNamesAreBounded: names come from strangers.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 60)
	d := put(t, build(t, "9.0.0.0 9.0.0.0 1 DE \x1b[2Jred\n\u202eeman\u200b  x\xff ", "9.0.0.1 9.0.0.1 2 DE "+long, "9.0.0.2 9.0.0.2 3 DE \x00\x01", "9.0.0.3 9.0.0.3 4 <b> <b>&amp;"))
	check(t, d, want{"9.0.0.0", "DE", "[2Jred eman x", 1}, want{"9.0.0.1", "DE", long[:64], 2}, want{"9.0.0.2", "DE", "", 3}, want{"9.0.0.3", "", "<b>&amp;", 4})
}

// body compresses what a table says into a file.
func body(t testing.TB, parts ...any) []byte {
	t.Helper()
	var raw []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			raw = binary.AppendUvarint(raw, uint64(p))
		case string:
			raw = append(raw, p...)
		}
	}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return z.EncodeAll(raw, []byte("fwygeo01"))
}

// TestCorruptTablesAreRefused: each with the reason and the name of the file.
func TestCorruptTablesAreRefused(t *testing.T) {
	t.Parallel()
	good := build(t, "9.0.0.0 9.0.0.255 64500 DE Nine", "2a00:1:: 2a00:1::ffff:ffff:ffff:ffff 64500 SE Nine")
	flipped := bytes.Clone(good)
	flipped[len(flipped)-7] ^= 1
	const date = 20260304
	for name, tt := range map[string]struct {
		file []byte
		want string
	}{
		"cut":                   {good[:len(good)-3], "damaged"},
		"a bit is wrong":        {flipped, "damaged"},
		"only a head":           {[]byte("fwygeo01"), "too early"},
		"no date":               {body(t, 20261399, 0, 0, 0, 0, 0, 0, 0), "date"},
		"texts cannot be shown": {body(t, date, 1, "\x1b", 0, 0, 0, 0, 0, 0), "shown"},
		"texts are too long":    {body(t, date, 201, strings.Repeat("x", 201), 0, 0, 0, 0, 0, 0), "over 200"},
		"no country":            {body(t, date, 0, 0, 1, "d1", 0, 0, 0, 0), `"d1" is no country`},
		"systems fall":          {body(t, date, 0, 0, 0, 2, 5, 0, 0, 0, 0, 0, 0), "do not rise"},
		"name cannot be shown":  {body(t, date, 0, 0, 0, 1, 5, 1, "\n", 0, 0, 0), "name of AS5"},
		"name too long":         {body(t, date, 0, 0, 0, 1, 5, 65, strings.Repeat("x", 65), 0, 0, 0), "over 64"},
		"country is not there":  {body(t, date, 0, 0, 1, "DE", 0, 1, 2, 0, 0, 0), "over 1"},
		"system is not there":   {body(t, date, 0, 0, 1, "DE", 0, 1, 1, 1, 0, 0), "over 0"},
		"place is not there":    {body(t, date, 0, 0, 1, "DE", 0, 1, 1, 0, 1, "\x01", 3, 2, 0), "over 1"},
		"beyond IPv4":           {body(t, date, 0, 0, 1, "DE", 0, 1, 1, 0, 1, "\x21", 0, 1, 0), "do not rise"},
		"ranges fall":           {body(t, date, 0, 0, 1, "DE", 0, 1, 1, 0, 0, 3, "\x3f\x3f\x3f", 0, 0, 0, 1, 0, 1), "do not rise"},
		"a shift too far":       {body(t, date, 0, 0, 1, "DE", 0, 1, 1, 0, 0, 1, "\x40", 0, 1), "too long"},
		"more than there is":    {body(t, date, 0, 0, 0, 0, 0, 1000, 0), "too early"},
		"far too much":          {body(t, date, 0, 0, 0, 0, 0, 1<<31, 0), "over 8000001"},
		"something follows":     {body(t, date, 0, 0, 0, 0, 0, 0, 0, 7), "1 bytes follow"},
	} {
		path := write(t, tt.file)
		_, err := geo.Open(path)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Open = %v, want %q and the path", name, err, tt.want)
		}
	}
	if _, err := geo.Open(write(t, body(t, date, 0, 0, 0, 0, 0, 0, 0))); err != nil {
		t.Errorf("an empty table: %v", err)
	}
}

// TestLookupAllocatesNothing: it is asked for every exit that is learnt.
func TestLookupAllocatesNothing(t *testing.T) {
	d := put(t, build(t, "9.0.0.0 9.0.0.255 64500 DE Nine", "2a00:1:: 2a00:1::ffff:ffff:ffff:ffff 64500 SE Nine"))
	four, six := netip.MustParseAddr("9.0.0.7"), netip.MustParseAddr("2a00:1::1")
	if n := testing.AllocsPerRun(100, func() { d.Lookup(four); d.Lookup(six) }); n != 0 {
		t.Errorf("two lookups allocate %v times", n)
	}
}

// TestLive: lookups go on while the database is replaced.
func TestLive(t *testing.T) {
	t.Parallel()
	var l geo.Live
	check(t, &l, want{"9.0.0.1", "", "", 0})
	if err := l.Replace(put(t, build(t, "9.0.0.0 9.0.0.255 1 DE a"))); err != nil {
		t.Fatal(err)
	}
	path := database(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 2000 {
				l.Lookup(netip.MustParseAddr("9.9.9.9"))
			}
		})
	}
	for range 20 {
		d, err := geo.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Replace(d); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	check(t, &l, want{"9.9.9.9", "US", "Quad9", 19281})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(t, &l, want{"9.9.9.9", "", "", 0})
}

// FuzzOpen: no file, and no list, makes anything but an error or a database
// that can be asked.
func FuzzOpen(f *testing.F) {
	f.Add(build(f, "9.0.0.0 9.0.0.255 64500 DE Nine", "2a00:1:: 2a00:1::ffff:ffff:ffff:ffff 64500 SE Nine"), false)
	f.Add([]byte("9.0.0.0\t9.0.0.255\t64500\tDE\tNine\n"), false)
	f.Add([]byte("\xf2\xd6\xd3\x09\x00\x00\x01DE\x01\x05\x01x\x01\x01\x01\x01\x01\x03\x01\x00"), true)
	f.Fuzz(func(t *testing.T, in []byte, packed bool) {
		if packed {
			in = body(t, string(in))
		}
		file, d, err := geo.Import(bytes.NewReader(in), geo.Info{Date: day})
		if err != nil {
			return
		}
		if len(file) == 0 {
			t.Fatal("Import returned no file")
		}
		for _, a := range []string{"1.0.0.0", "9.0.0.1", "223.255.255.255", "2000::", "2a00:1::1", "fbff::"} {
			if _, _, org := d.Lookup(netip.MustParseAddr(a)); len(org) > 64 {
				t.Errorf("a name has %d bytes", len(org))
			}
		}
		d.Info()
	})
}

func BenchmarkBuiltin(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := geo.Builtin(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	d := opened(b)
	for name, addr := range map[string]string{"IPv4": "88.198.0.1", "IPv6": "2a01:4f8::1"} {
		a := netip.MustParseAddr(addr)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Lookup(a)
			}
		})
	}
}
