// Command maketable writes the table of places that is part of the program,
// from lists in the form of iptoasn.com or MaxMind DBs of them. "make geo" is
// how it is used.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"freeway/internal/geo"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "maketable:", err)
		os.Exit(1)
	}
}

// run reads the files that args name and writes the table.
func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("maketable", flag.ContinueOnError)
	out := flags.String("out", "places.geo", "`file` to write")
	date := flags.String("date", "", "`day` of the data, as 2006-01-02")
	source := flags.String("source", "iptoasn.com", "who made the data")
	licence := flags.String("licence", "", "licence of the data")
	if err := flags.Parse(args); err != nil {
		return err
	}
	day, err := time.Parse(time.DateOnly, *date)
	if err != nil {
		return fmt.Errorf("-date: %w", err)
	}
	if flags.NArg() == 0 {
		return errors.New("name the files to read")
	}
	var b geo.Builder
	for _, name := range flags.Args() {
		if err := add(&b, name); err != nil {
			return err
		}
	}
	table, err := b.Table(geo.Info{Date: day, Source: *source, Licence: *licence})
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, table, 0o644); err != nil {
		return err
	}
	return report(*out, len(table), b.Small(), stdout)
}

// add reads one file; those that end in .mmdb are MaxMind DBs.
func add(b *geo.Builder, name string) error {
	if strings.HasSuffix(name, ".mmdb") {
		d, err := geo.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(b.AddDatabase(d), d.Close())
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := b.AddTSV(f); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// report opens what was written and says what it holds.
func report(name string, size, small int, w io.Writer) error {
	d, err := geo.Open(name)
	if err != nil {
		return err
	}
	i := d.Info()
	_, err = fmt.Fprintf(w, "%s: %d bytes, %d in memory; %d IPv4 and %d IPv6 starts of ranges, %d countries, %d systems; %d IPv6 ranges below /64 left out\n",
		name, size, i.Bytes, i.IPv4, i.IPv6, i.Countries, i.Systems, small)
	return errors.Join(err, d.Close())
}
