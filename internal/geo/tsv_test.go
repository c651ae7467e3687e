package geo_test

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"

	"freeway/internal/geo"
)

// list is in the form of ip2asn-combined.tsv.
const list = "1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET\n1.0.1.0\t1.0.3.255\t0\tNone\tNot routed\n" +
	"8.8.8.0\t8.8.8.255\t15169\tUS\tGOOGLE\r\n# a remark\n\n2001:4860::\t2001:4860:ffff:ffff:ffff:ffff:ffff:ffff\t15169\tUS\tGOOGLE\n"

func TestImport(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(list)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	plain, _, err := geo.Import(strings.NewReader(list), geo.Info{Date: day, Source: "here"})
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][]byte{"plain": []byte(list), "gzip": packed.Bytes(), "compact": plain} {
		file, d, err := geo.Import(bytes.NewReader(in), geo.Info{Date: day, Source: "here"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !bytes.Equal(file, plain) {
			t.Errorf("%s: the table is another one", name)
		}
		check(t, d, want{"1.0.0.1", "US", "CLOUDFLARENET", 13335}, want{"1.0.1.1", "", "", 0}, want{"8.8.8.8", "US", "GOOGLE", 15169}, want{"2001:4860:4860::8888", "US", "GOOGLE", 15169})
		if i := d.Info(); i.Systems != 2 || i.Countries != 1 || i.Source != "here" || !i.Date.Equal(day) {
			t.Errorf("%s: Info() = %+v", name, i)
		}
	}
	_, d, err := geo.Import(strings.NewReader("1.0.0.0\t1.0.0.255\tAU\n"), geo.Info{Date: day})
	if err != nil {
		t.Fatal(err)
	}
	check(t, d, want{"1.0.0.1", "AU", "", 0})
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                            "names no range",
		"<html>":                      "line 1: 1 columns",
		"1.0.0.0\t1.0.0.1\t1\tDE":     "line 1: 4 columns",
		"x\t1.0.0.1\tDE":              `line 1: "x" is no address`,
		"1.0.0.0\t\x1b\tDE":           `line 1: "\x1b" is no address`,
		"\n1.0.0.9\t1.0.0.1\tDE":      "line 2: 1.0.0.9 to 1.0.0.1 is no range",
		"1.0.0.0\t1.0.0.1\t-1\tDE\tx": `line 1: "-1" is no number`,
		"1.0.0.0\t1.0.0.9\tDE\n1.0.0.5\t1.0.0.9\tFR": "overlap",
		"\x1f\x8b\x08\x00\x00\x00\x00\x00":           "EOF",
		"fwygeo01":                                   "too early",
		strings.Repeat("x", 5000):                    "after line 0",
	} {
		if _, _, err := geo.Import(strings.NewReader(in), geo.Info{Date: day}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Import(%.40q) = %v, want %q", in, err, want)
		}
	}
}
