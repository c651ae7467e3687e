package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"freeway/internal/access"
	"freeway/pool"
	"freeway/proxy"
	"freeway/scraper"
)

// statuses is the one table from errors to HTTP statuses.
var statuses = []struct {
	err    error
	status int
}{
	{pool.ErrNotFound, http.StatusNotFound},
	{proxy.ErrNone, http.StatusNotFound},
	{pool.ErrFull, http.StatusInsufficientStorage},
	{pool.ErrReadOnly, http.StatusInsufficientStorage},
	{errNotFound, http.StatusNotFound},
	{scraper.ErrUnknown, http.StatusNotFound},
	{scraper.ErrKnown, http.StatusConflict},
	{ErrStopping, http.StatusServiceUnavailable},
	{errBadInput, http.StatusUnprocessableEntity},
}

// ErrStopping is what Env.Reload returns once the server is stopping: nothing is
// read any more, and nothing is wrong with the configuration. It is answered with 503.
var ErrStopping = errors.New("the server is stopping")

// errNotFound marks names that mean nothing here, errBadInput mistakes of the client.
var errNotFound, errBadInput = errors.New("not found"), errors.New("bad input")

type inputError struct{ err error }

func (e inputError) Error() string        { return e.err.Error() }
func (e inputError) Unwrap() error        { return e.err }
func (e inputError) Is(target error) bool { return target == errBadInput }

func badInput(err error) error { return inputError{err} }

// problem turns an error into the answer that the table names; what it does
// not name is a 500.
func problem(err error) error {
	if err == nil {
		return nil
	}
	var known huma.StatusError
	if errors.As(err, &known) {
		return err
	}
	for _, row := range statuses {
		if errors.Is(err, row.err) {
			return huma.NewError(row.status, err.Error())
		}
	}
	return huma.NewError(http.StatusInternalServerError, err.Error())
}

// withRetryAfter adds the header when the error says when to come back.
func withRetryAfter(err error) error {
	var none *proxy.NoneError
	if errors.As(err, &none) && none.RetryAfter > 0 {
		secs := int((none.RetryAfter + time.Second - 1) / time.Second)
		return huma.ErrorWithHeaders(problem(err), http.Header{"Retry-After": {strconv.Itoa(secs)}})
	}
	return problem(err)
}

// writeProblem answers outside huma's operations.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(&huma.ErrorModel{Title: http.StatusText(status), Status: status, Detail: detail}) //nolint:errcheck // the client went away
}

func deny(w http.ResponseWriter, _ *http.Request, why access.Denial) {
	switch why {
	case access.NoToken:
		writeProblem(w, http.StatusUnauthorized, "a token is needed; send it as Authorization: Bearer TOKEN")
	case access.BadToken:
		writeProblem(w, http.StatusUnauthorized, "the token is none of admin.token and admin.tokens")
	case access.TooFew:
		writeProblem(w, http.StatusForbidden, "the role of this token, or certificate, is not enough for that")
	case access.NoRole:
		writeProblem(w, http.StatusForbidden, "no name in this certificate is one of admin.tls.clients")
	case access.TooMany:
		w.Header().Set("Retry-After", "60")
		writeProblem(w, http.StatusTooManyRequests, "too many wrong tokens came from this address; wait a minute")
	case access.BadHost:
		writeProblem(w, http.StatusForbidden, "this listener does not answer to that Host; use its IP address, localhost, or add the name to admin.hosts")
	case access.CrossOrigin:
		writeProblem(w, http.StatusForbidden, "writes from another origin are refused")
	default:
		writeProblem(w, http.StatusBadRequest, "a header name holds an underscore where a hyphen belongs")
	}
}

func notFound(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, http.StatusNotFound, "there is nothing at this path; /api/openapi.json lists what there is")
}

func methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	writeProblem(w, http.StatusMethodNotAllowed, r.Method+" is not allowed here; /api/openapi.json lists what is")
}

func isAPI(path string) bool {
	return path == "/api" || strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/compat/") || strings.HasPrefix(path, "/debug/")
}
