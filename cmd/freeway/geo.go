package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"freeway/internal/geo"
)

// geoCommand makes "freeway geo".
func (a *app) geoCommand() *cobra.Command {
	var how reporting
	cmd := &cobra.Command{
		Use:   "geo",
		Short: "Show, ask or refresh the table of countries and networks",
		Long: `Show the table of countries and networks in use: what it is, its date, what it
knows and its licence. It is the file of geo.database; without one, the table
that "freeway geo update" put beside the store; without one, the built-in one.`,
		Example: "  freeway geo\n  freeway geo lookup 8.8.8.8\n  freeway geo update --from ip2asn-combined.tsv.gz",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.geoInfo(how) },
	}
	how.tables(cmd)
	cmd.AddCommand(a.geoInfoCommand(), a.geoLookup(), a.geoUpdate())
	return cmd
}

// geoInfoCommand makes "freeway geo info".
func (a *app) geoInfoCommand() *cobra.Command {
	var how reporting
	cmd := &cobra.Command{
		Use:     "info",
		Short:   "Show the table in use, its date, what it knows and its licence",
		Example: "  freeway geo info",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.geoInfo(how) },
	}
	how.tables(cmd)
	return cmd
}

// withPlaces opens the places of the configuration for a command.
func (a *app) withPlaces(do func(*geo.Database) error) error {
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	db, err := openPlaces(cfg)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// geoInfo prints what is in use.
func (a *app) geoInfo(how reporting) error {
	if err := how.check(); err != nil {
		return err
	}
	return a.withPlaces(func(db *geo.Database) error {
		i := db.Info()
		return a.report(how, infoRows(i), map[string]any{"from": placesName(i), "kind": i.Kind, "date": i.Date.Format(time.DateOnly), "source": i.Source,
			"licence": i.Licence, "ipv4_ranges": max(i.IPv4, 0), "ipv6_ranges": max(i.IPv6, 0), "countries": max(i.Countries, 0), "networks": max(i.Systems, 0)})
	})
}

// infoRows describes a database, leaving out what it does not tell.
func infoRows(i geo.Info) [][]string {
	rows := [][]string{{"from", placesName(i)}, {"kind", i.Kind}, {"date", i.Date.Format(time.DateOnly)}}
	for _, r := range [][]string{{"source", i.Source}, {"licence", i.Licence}} {
		if r[1] != "" {
			rows = append(rows, r)
		}
	}
	if i.IPv4 < 0 {
		return rows
	}
	systems := strconv.Itoa(i.Systems)
	if i.Systems == 0 {
		systems = "none: the networks of exits are unknown"
	}
	return append(rows, []string{"IPv4 ranges", strconv.Itoa(i.IPv4)}, []string{"IPv6 ranges", strconv.Itoa(i.IPv6)},
		[]string{"countries", strconv.Itoa(i.Countries)}, []string{"networks", systems}, []string{"memory", fmt.Sprintf("%d bytes", i.Bytes)})
}

// geoLookup makes "freeway geo lookup".
func (a *app) geoLookup() *cobra.Command {
	var how reporting
	cmd := &cobra.Command{
		Use:     "lookup IP...",
		Short:   "Tell the country and network of addresses; nothing is sent anywhere",
		Example: "  freeway geo lookup 8.8.8.8 2606:4700:4700::1111",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := how.check(); err != nil {
				return err
			}
			addrs := make([]netip.Addr, len(args))
			for i, arg := range args {
				var err error
				if addrs[i], err = netip.ParseAddr(arg); err != nil {
					return usagef("%q is no IP address", arg)
				}
			}
			return a.withPlaces(func(db *geo.Database) error { return a.report(how, placeRows(db, addrs), placesOf(db, addrs)) })
		},
	}
	how.tables(cmd)
	return cmd
}

// foundPlace is an address and where it is, for JSON.
type foundPlace struct {
	Address string `json:"address"`
	Country string `json:"country"`
	ASN     uint32 `json:"asn"`
	Org     string `json:"org"`
}

// placesOf has a value for each address.
func placesOf(db *geo.Database, addrs []netip.Addr) []foundPlace {
	out := make([]foundPlace, len(addrs))
	for i, addr := range addrs {
		country, asn, org := db.Lookup(addr)
		out[i] = foundPlace{addr.String(), country, asn, org}
	}
	return out
}

// placeRows has a row for each address.
func placeRows(db *geo.Database, addrs []netip.Addr) [][]string {
	rows := [][]string{{"ADDRESS", "COUNTRY", "NETWORK", "ORGANISATION"}}
	for _, addr := range addrs {
		country, asn, org := db.Lookup(addr)
		network := ""
		if asn != 0 {
			network = "AS" + strconv.FormatUint(uint64(asn), 10)
		}
		rows = append(rows, []string{addr.String(), orDash(country), orDash(network), orDash(org)})
	}
	return rows
}
