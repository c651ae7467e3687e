package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"freeway/api"
	"freeway/proxy"
)

// candidate is how scrape prints an entry of a list: the list's own words.
type candidate struct {
	URL       string         `json:"url"`
	Protocol  proxy.Protocol `json:"protocol"`
	Host      string         `json:"host"`
	Port      uint16         `json:"port"`
	User      string         `json:"user,omitempty"`
	Guess     bool           `json:"guess,omitempty"` // the list names no protocol
	Country   string         `json:"country,omitempty"`
	Anonymity string         `json:"anonymity,omitempty"`
}

// candidateWriter returns the writer of one of scrape's formats. A csv has its
// header before the first row.
func candidateWriter(format string, passwords bool) (func(io.Writer, proxy.Candidate) error, error) {
	switch format {
	case "txt":
		return func(w io.Writer, c proxy.Candidate) error {
			_, err := fmt.Fprintln(w, candidateURL(c, passwords))
			return err
		}, nil
	case "ndjson":
		return func(w io.Writer, c proxy.Candidate) error {
			return json.NewEncoder(w).Encode(candidate{
				URL: candidateURL(c, passwords), Protocol: c.Endpoint.Protocol, Host: c.Endpoint.Host, Port: c.Endpoint.Port, User: c.Endpoint.User,
				Guess: c.Guess, Country: c.Claims.Country, Anonymity: c.Claims.Anonymity.String(),
			})
		}, nil
	case "csv":
		first := true
		return func(w io.Writer, c proxy.Candidate) error {
			out := csv.NewWriter(w)
			if first {
				out.Write([]string{"url", "protocol", "host", "port", "user", "guess", "country", "anonymity"}) //nolint:errcheck // Error tells
				first = false
			}
			out.Write([]string{candidateURL(c, passwords), c.Endpoint.Protocol.String(), c.Endpoint.Host, strconv.Itoa(int(c.Endpoint.Port)), //nolint:errcheck // Error tells
				cell(c.Endpoint.User), strconv.FormatBool(c.Guess), cell(c.Claims.Country), c.Claims.Anonymity.String()})
			out.Flush()
			return out.Error()
		}, nil
	}
	return nil, usagef("--format %q is not one of txt, ndjson, csv", format)
}

// cell keeps spreadsheets from reading foreign text as a formula.
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// candidateURL is the endpoint as text, with the password only on demand.
func candidateURL(c proxy.Candidate, passwords bool) string {
	if !passwords || c.Password.IsZero() {
		return c.Endpoint.String()
	}
	userinfo := url.UserPassword(c.Endpoint.User, c.Password.Reveal()).String()
	return c.Endpoint.Protocol.String() + "://" + userinfo + "@" + c.Endpoint.Address()
}

// printer writes the results of a scan one by one; close completes the document.
type printer interface {
	print(e proxy.Entry) error
	close() error
}

// newPrinter returns the printer of a format. failures: what failed will be
// printed, too.
func newPrinter(format string, w io.Writer, failures bool) (printer, error) {
	switch format {
	case "table":
		return &tablePrinter{w: w, failures: failures}, nil
	case "ndjson":
		return ndjsonPrinter{json.NewEncoder(w)}, nil
	case "json":
		return &jsonPrinter{w: w}, nil
	case "csv":
		return &csvPrinter{w: csv.NewWriter(w)}, nil
	case "txt":
		return txtPrinter{w}, nil
	}
	return nil, usagef("--format %q is not one of table, ndjson, json, csv, txt", format)
}

// tablePrinter aligns columns of fixed width, so that rows can be shown as they come.
type tablePrinter struct {
	w        io.Writer
	failures bool
	begun    bool
}

const tableFormat = "%-42s %8s %-11s %-15s %-7s %s"

// print writes a row, after the head if it is the first.
func (p *tablePrinter) print(e proxy.Entry) error {
	if err := p.head(); err != nil {
		return err
	}
	latency := "-"
	if e.Latency > 0 {
		latency = strconv.FormatInt(e.Latency.Milliseconds(), 10)
	}
	exit := "-"
	if e.Traits.ExitIP.IsValid() {
		exit = e.Traits.ExitIP.String()
	}
	line := fmt.Sprintf(tableFormat, e.Endpoint, latency, orDash(e.Traits.Anonymity.String()), exit, orDash(e.Traits.Country), abilities(e))
	_, err := fmt.Fprintln(p.w, strings.TrimRight(line, " "))
	return err
}

// head writes the names of the columns once.
func (p *tablePrinter) head() error {
	if p.begun {
		return nil
	}
	p.begun = true
	last := "CAN"
	if p.failures {
		last = "CAN, OR WHAT FAILED"
	}
	_, err := fmt.Fprintf(p.w, tableFormat+"\n", "PROXY", "MS", "ANONYMITY", "EXIT", "COUNTRY", last)
	return err
}

func (p *tablePrinter) close() error { return nil }

// abilities is the last column: what a live proxy can do, or why another is not.
func abilities(e proxy.Entry) string {
	if e.State != proxy.Live {
		text := e.State.String()
		if e.Error != (proxy.Fault{}) {
			text += ": " + e.Error.Stage.String() + " " + e.Error.Class.String()
		}
		if e.Traits.Tampers != "" {
			text += fmt.Sprintf(" (%.60q)", e.Traits.Tampers)
		}
		return text
	}
	var can []string
	for _, ability := range []struct {
		is   proxy.Tri
		name string
	}{{e.Traits.Forward, "forward"}, {e.Traits.Tunnel, "tunnel"}, {e.Traits.TunnelAny, "any-port"}, {e.Traits.RemoteDNS, "dns"}, {e.Traits.IPv6, "ipv6"}} {
		if ability.is == proxy.Yes {
			can = append(can, ability.name)
		}
	}
	return orDash(strings.Join(can, " "))
}

// orDash stands in for what is not known.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type ndjsonPrinter struct{ enc *json.Encoder }

func (p ndjsonPrinter) print(e proxy.Entry) error { return p.enc.Encode(api.View(e)) }
func (p ndjsonPrinter) close() error              { return nil }

// jsonPrinter writes one array, an element a line.
type jsonPrinter struct {
	w io.Writer
	n int
}

// print writes an element, with what has to stand before it.
func (p *jsonPrinter) print(e proxy.Entry) error {
	b, err := json.Marshal(api.View(e))
	if err != nil {
		return err
	}
	lead := ",\n "
	if p.n == 0 {
		lead = "[\n "
	}
	p.n++
	_, err = fmt.Fprintf(p.w, "%s%s", lead, b)
	return err
}

// close ends the array; without elements it is an empty one.
func (p *jsonPrinter) close() error {
	end := "\n]\n"
	if p.n == 0 {
		end = "[]\n"
	}
	_, err := io.WriteString(p.w, end)
	return err
}

// csvPrinter writes the header even when there is no row.
type csvPrinter struct {
	w     *csv.Writer
	begun bool
}

// head writes the names of the columns once.
func (p *csvPrinter) head() error {
	if p.begun {
		return nil
	}
	p.begun = true
	return p.w.Write(api.Columns())
}

// print writes a row and sends it on, so that a reader sees it as it comes.
func (p *csvPrinter) print(e proxy.Entry) error {
	if err := p.head(); err != nil {
		return err
	}
	if err := p.w.Write(api.Row(api.View(e))); err != nil {
		return err
	}
	p.w.Flush()
	return p.w.Error()
}

// close makes sure that there is a head.
func (p *csvPrinter) close() error {
	if err := p.head(); err != nil {
		return err
	}
	p.w.Flush()
	return p.w.Error()
}

type txtPrinter struct{ w io.Writer }

func (p txtPrinter) print(e proxy.Entry) error {
	_, err := fmt.Fprintln(p.w, e.Endpoint)
	return err
}
func (p txtPrinter) close() error { return nil }

// columns aligns a small table that is complete before it is shown.
func columns(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		if _, err := fmt.Fprintln(t, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}
