package api

import (
	"context"
	"errors"

	"freeway/pool"
)

type feedbackInput struct {
	Body struct {
		Proxy     string `json:"proxy,omitempty" maxLength:"512" doc:"Its id or url. One of proxy, request_id, tag and session says which."`
		RequestID string `json:"request_id,omitempty" maxLength:"128" doc:"Of an answer of the gateway, from the moment that its head is there."`
		Tag       string `json:"tag,omitempty" maxLength:"128" doc:"Of the user name: every proxy that the latest requests with it used."`
		Session   string `json:"session,omitempty" maxLength:"128"`
		Target    string `json:"target,omitempty" maxLength:"2048" doc:"host, host:port or URL; empty is that of the request."`
		Verdict   string `json:"verdict" enum:"ok,failed,banned,captcha,bad_content"`
	}
}

// FeedbackResult says how many proxies the feedback was for.
type FeedbackResult struct {
	Applied int `json:"applied"`
}

func (a *API) feedback(_ context.Context, in *feedbackInput) (*struct{ Body FeedbackResult }, error) {
	n, err := a.env.Pool.Feedback(pool.Feedback(in.Body))
	switch {
	case errors.Is(err, pool.ErrNotFound):
		return nil, problem(err)
	case err != nil: // nothing else can go wrong but the question
		return nil, problem(badInput(err))
	}
	return &struct{ Body FeedbackResult }{FeedbackResult{n}}, nil
}
