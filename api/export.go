package api

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"freeway/proxy"
)

// contentTypes are the formats of a list other than json.
var contentTypes = map[string]string{
	"ndjson": "application/x-ndjson",
	"csv":    "text/csv; charset=utf-8",
	"txt":    "text/plain; charset=utf-8",
}

// Columns are the fields of a proxy in the order of the csv format.
func Columns() []string {
	return []string{"id", "url", "protocol", "host", "port", "pool", "state", "score", "latency_ms", "anonymity", "forward", "tunnel",
		"tunnel_any", "remote_dns", "ipv6", "exit_ip", "country", "asn", "org", "tampers", "sources", "first_seen", "last_checked",
		"last_live", "next_check", "checks_ok", "checks_failed", "uses_ok", "uses_failed", "error_stage", "error_class"}
}

// Row is the proxy as csv, in the order of Columns. Text that a spreadsheet
// would read as a formula gets an apostrophe.
func Row(p Proxy) []string {
	var f Fault
	if p.Error != nil {
		f = *p.Error
	}
	row := []string{p.ID, p.URL, p.Protocol.String(), p.Host, strconv.Itoa(int(p.Port)), p.Pool, p.State.String(),
		strconv.FormatFloat(p.Score, 'f', 3, 64), strconv.FormatInt(p.LatencyMS, 10), p.Anonymity.String(), yesNo(p.Forward), yesNo(p.Tunnel),
		yesNo(p.TunnelAny), yesNo(p.RemoteDNS), yesNo(p.IPv6), p.ExitIP, p.Country, strconv.FormatUint(uint64(p.ASN), 10), p.Org, p.Tampers,
		strings.Join(p.Sources, " "), rfc3339(p.FirstSeen), rfc3339(p.LastChecked), rfc3339(p.LastLive), rfc3339(p.NextCheck),
		count(p.Checks.OK), count(p.Checks.Failed), count(p.Uses.OK), count(p.Uses.Failed), f.Stage, f.Class}
	for i, s := range row {
		if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
			row[i] = "'" + s
		}
	}
	return row
}

func yesNo(b *bool) string {
	if b == nil {
		return ""
	}
	return strconv.FormatBool(*b)
}

func rfc3339(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}

func count(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// stream answers with every entry of the sequence in a format other than json.
// tag is the ETag, "" for none.
func stream(format string, fields selection, tag string, all iter.Seq[proxy.Entry]) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		kind := contentTypes[format]
		if x, ok := exports[format]; ok {
			kind = x.kind
		}
		ctx.SetHeader("Content-Type", kind)
		setTag(ctx, tag)
		ctx.SetStatus(http.StatusOK)
		writeList(ctx.BodyWriter(), format, fields, all) //nolint:errcheck // the client went away
	}}
}

// writeList prints proxies in a format other than json until the sequence ends
// or w fails.
func writeList(w io.Writer, format string, fields selection, all iter.Seq[proxy.Entry]) error {
	if x, ok := exports[format]; ok {
		return writeExport(w, x, all)
	}
	b := bufio.NewWriterSize(w, 32<<10)
	var err error
	switch format {
	case "ndjson":
		err = writeNDJSON(b, fields, all)
	case "csv":
		err = writeCSV(b, fields, all)
	default:
		err = writeURLs(b, all)
	}
	if err != nil {
		return err
	}
	return b.Flush()
}

func writeNDJSON(w io.Writer, fields selection, all iter.Seq[proxy.Entry]) error {
	enc := json.NewEncoder(w)
	for e := range all {
		if err := enc.Encode(fields.of(View(e))); err != nil {
			return err
		}
	}
	return nil
}

// writeURLs prints one URL a line.
func writeURLs(w *bufio.Writer, all iter.Seq[proxy.Entry]) error {
	var line []byte
	for e := range all {
		line = append(e.Endpoint.Append(line[:0]), '\n')
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

func writeCSV(w io.Writer, fields selection, all iter.Seq[proxy.Entry]) error {
	names, at := fields.columns()
	c := csv.NewWriter(w)
	if err := c.Write(names); err != nil {
		return err
	}
	cells := make([]string, len(at))
	for e := range all {
		row := Row(View(e))
		for i, j := range at {
			cells[i] = row[j]
		}
		if err := c.Write(cells); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}
