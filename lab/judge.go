package lab

import (
	"net/http"
)

// judgeHandler answers as the judges do.
func (l *Lab) judgeHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := map[string]string{}
		for k := range r.Header {
			h[k] = r.Header.Get(k)
		}
		args := map[string]string{}
		for k := range r.URL.Query() {
			args[k] = r.URL.Query().Get(k)
		}
		writeJSON(w, map[string]any{"origin": seenAddr(r).String(), "headers": h, "args": args})
	})
}
