package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// tagOf is the ETag of an answer. All tags are weak (RFC 9110 section 8.8.1):
// the bytes differ when they are compressed.
func tagOf(body []byte) string {
	sum := sha256.Sum256(body)
	return `W/"` + hex.EncodeToString(sum[:12]) + `"`
}

// streamTag is the ETag of a list that is not made before it is sent: what was
// asked for, and the version of the pool. Scores fade without a change, so a
// tag holds for a minute at most.
func (a *API) streamTag(in *listInput) string {
	asked := *in
	asked.IfNone = ""
	return tagOf(fmt.Appendf(nil, "%+v %d %d %d", asked, a.began.UnixNano(), a.env.Pool.Version(), time.Since(a.began)/time.Minute))
}

// matches reports whether If-None-Match names the tag (RFC 9110 section 13.1.2).
func matches(header, tag string) bool {
	for t := range strings.SplitSeq(header, ",") {
		if t = strings.TrimSpace(t); t == "*" || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/") && t != "" {
			return true
		}
	}
	return false
}

// setTag sends a tag, and lets clients keep the answer if they ask again.
func setTag(ctx huma.Context, tag string) {
	if tag != "" {
		ctx.SetHeader("ETag", tag)
		ctx.SetHeader("Cache-Control", "private, no-cache")
	}
}

// notModified answers 304.
func notModified(tag string) *huma.StreamResponse {
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		setTag(ctx, tag)
		ctx.SetStatus(http.StatusNotModified)
	}}
}

// answerTagged answers with JSON, or 304 when the client has it already. next is
// the cursor in v, "" for none: it differs between two answers that mean the same,
// and that of the earlier one is as good. The tag says only that there is one.
func answerTagged(v any, next, ifNone string) *huma.StreamResponse {
	body, err := json.Marshal(v)
	if err != nil {
		return answerJSON(v) // which says so
	}
	alike := body
	if next != "" { // its characters stand for themselves in JSON
		alike = bytes.ReplaceAll(body, []byte(next), []byte("more"))
	}
	tag := tagOf(alike)
	if matches(ifNone, tag) {
		return notModified(tag)
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", "application/json")
		setTag(ctx, tag)
		ctx.SetStatus(http.StatusOK)
		ctx.BodyWriter().Write(append(body, '\n')) //nolint:errcheck // the client went away
	}}
}
