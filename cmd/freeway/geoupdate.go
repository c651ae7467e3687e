package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"freeway/config"
	"freeway/internal/geo"
)

// The limits of a refresh. iptoasn's largest list has 10 MB when gzipped.
const (
	updateTime  = 5 * time.Minute
	updateBytes = 64 << 20
	updateHops  = 5
)

// geoUpdate makes "freeway geo update".
func (a *app) geoUpdate() *cobra.Command {
	var from string
	var force bool
	cmd := &cobra.Command{
		Use:   "update --from URL|FILE",
		Short: "Refresh the table from a list or table of your choice",
		Long: `Refresh the table from a list or table of your choice: a list in the form of
iptoasn.com (ip2asn or ip2country, .tsv or .tsv.gz), or a compact table of
Freeway. It is checked, then put in place of geo.database if that names a
compact table, else beside the store. An .mmdb is not touched.

A running server uses it after its next reload.`,
		Example: "  freeway geo update --from ip2asn-combined.tsv.gz\n  freeway geo update --from https://example.com/ip2asn-combined.tsv.gz",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from == "" {
				return usagef("--from is needed: Freeway asks no address of its own accord")
			}
			return a.updatePlaces(cmd.Context(), from, force)
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "`URL|FILE` to read, at most 64 MiB")
	cmd.Flags().BoolVar(&force, "force", false, "also when it knows less than half of the addresses that are known now")
	return cmd
}

// updatePlaces reads, checks and replaces the table.
func (a *app) updatePlaces(ctx context.Context, from string, force bool) error {
	cfg, err := a.load(nil)
	if err != nil {
		return err
	}
	target, err := placesTarget(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, updateTime)
	defer cancel()
	file, next, err := readPlaces(ctx, from)
	if err != nil {
		return fmt.Errorf("%s: %w", publicName(from), err)
	}
	if err := checkCovers(cfg, next); err != nil && !force {
		return err
	}
	err = writeWhole(target, func(w io.Writer) error {
		_, err := w.Write(file)
		return err
	})
	if err != nil {
		return err
	}
	i := next.Info()
	_, err = fmt.Fprintf(a.stdout, "ok: %s is of %s and knows %d countries and %d networks\n", target, i.Date.Format(time.DateOnly), i.Countries, i.Systems)
	return err
}

// placesTarget is the file to replace.
func placesTarget(cfg config.Config) (string, error) {
	path := cfg.Geo.Database
	if path == "" {
		if path = updatedPlaces(cfg); path == "" {
			return "", errors.New("there is no store beside which the table could be; set geo.database")
		}
		return path, nil
	}
	compact, err := geo.IsTable(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, nil
	case err != nil:
		return "", err
	case !compact:
		return "", fmt.Errorf("geo.database names %s, which is no compact table: replace that file yourself, or leave geo.database empty", path)
	}
	return path, nil
}

// checkCovers refuses a table that knows much less than the one in use, as one
// does that was cut. A table in use that cannot be read is no obstacle.
func checkCovers(cfg config.Config, next *geo.Database) error {
	now, err := openPlaces(cfg)
	if err != nil {
		if now, err = geo.Builtin(); err != nil {
			return err
		}
	}
	has, had := next.Info().Known, now.Info().Known
	if err := now.Close(); err != nil {
		return err
	}
	if has < had/2 {
		return fmt.Errorf("it knows %d addresses of IPv4, the table in use %d; --force takes it all the same", has, had)
	}
	return nil
}

// readPlaces reads the table at an address or in a file.
func readPlaces(ctx context.Context, from string) ([]byte, *geo.Database, error) {
	var in io.ReadCloser
	var date time.Time
	var err error
	if isWeb(from) {
		in, date, err = fetchPlaces(ctx, from)
	} else {
		in, date, err = openDated(from)
	}
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	limited := &io.LimitedReader{R: ctxReader{ctx: ctx, r: in}, N: updateBytes + 1}
	file, db, err := geo.Import(limited, geo.Info{Date: date, Source: publicName(from), Licence: "that of its publisher"})
	if limited.N == 0 {
		return nil, nil, fmt.Errorf("it has over %d bytes", updateBytes)
	}
	return file, db, err
}

// openDated opens a file and tells when it was made.
func openDated(name string) (io.ReadCloser, time.Time, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, time.Time{}, unnamed(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, errors.Join(err, f.Close())
	}
	return f, info.ModTime(), nil
}

// unnamed takes the name off an error that is shown with one.
func unnamed(err error) error {
	var path *fs.PathError
	var web *url.Error
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &web):
		return web.Err
	}
	return err
}

// isWeb reports whether the argument is the address of a list.
func isWeb(from string) bool {
	scheme, _, ok := strings.Cut(from, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// publicName is an address without what may be secret, or a file.
func publicName(from string) string {
	if !isWeb(from) {
		return from
	}
	u, err := url.Parse(from)
	if err != nil {
		return "the address"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// fetchPlaces asks the address that the operator named, and none else but
// those to which it sends us.
func fetchPlaces(ctx context.Context, from string) (io.ReadCloser, time.Time, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, time.Time{}, unnamed(err)
	}
	req.Header.Set("User-Agent", "freeway/"+versionText())
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true, DisableCompression: true}
	res, err := (&http.Client{Transport: transport, CheckRedirect: followPlaces}).Do(req)
	if err != nil {
		return nil, time.Time{}, unnamed(err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, time.Time{}, errors.Join(fmt.Errorf("the answer is %d %s", res.StatusCode, http.StatusText(res.StatusCode)), res.Body.Close())
	}
	date, err := http.ParseTime(res.Header.Get("Last-Modified"))
	if err != nil {
		date = time.Now()
	}
	return res.Body, date, nil
}

// followPlaces follows a few redirects, never from TLS to plain text.
func followPlaces(req *http.Request, via []*http.Request) error {
	switch last := via[len(via)-1]; {
	case len(via) > updateHops:
		return fmt.Errorf("more than %d redirects", updateHops)
	case last.URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("a redirect leads from https to http")
	}
	return nil
}
