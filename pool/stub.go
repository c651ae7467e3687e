package pool

import (
	"context"
	"io"
	"iter"

	"freeway/proxy"
)

// Pool is the pool.
type Pool struct{}

func Open(ctx context.Context, cfg Config, env Env) (*Pool, error) { return &Pool{}, cfg.Validate() }
func (p *Pool) Run(ctx context.Context) error                      { <-ctx.Done(); return nil }
func (p *Pool) Apply(cfg Config) error                             { return cfg.Validate() }
func (p *Pool) Flush(ctx context.Context) error                    { return nil }
func (p *Pool) Add(ctx context.Context, source string, found []proxy.Candidate) (proxy.Yield, error) {
	return proxy.Yield{}, nil
}
func (p *Pool) Worth(source string) proxy.Worth             { return proxy.Worth{} }
func (p *Pool) Recall(key string) []byte                    { return nil }
func (p *Pool) Note(key string, doc []byte)                 {}
func (p *Pool) Next(ctx context.Context) (proxy.Job, error) { return proxy.Job{}, io.EOF }
func (p *Pool) Report(v proxy.Verdict)                      {}
func (p *Pool) Pick(ctx context.Context, want proxy.Want) (proxy.Lease, error) {
	return proxy.Lease{}, &proxy.NoneError{Reason: "0 live of 0 known"}
}
func (p *Pool) Record(t proxy.Trace)                                                  {}
func (p *Pool) List(q Query) (items []proxy.Entry, total int, next string, err error) { return }

// Each is List without pages.
func (p *Pool) Each(q Query) (iter.Seq[proxy.Entry], error) {
	return func(func(proxy.Entry) bool) {}, nil
}
func (p *Pool) All(f proxy.Filter) iter.Seq[proxy.Entry]            { return func(func(proxy.Entry) bool) {} }
func (p *Pool) Get(id string) (Detail, bool)                        { return Detail{}, false }
func (p *Pool) Find(ep proxy.Endpoint) (proxy.Entry, bool)          { return proxy.Entry{}, false }
func (p *Pool) Delete(ctx context.Context, id string) (bool, error) { return false, nil }
func (p *Pool) Insert(ctx context.Context, found []proxy.Candidate) (proxy.Yield, error) {
	return proxy.Yield{}, nil
}
func (p *Pool) CheckNow(id string) bool                         { return false }
func (p *Pool) Feedback(f Feedback) (n int, err error)          { return 0, ErrNotFound }
func (p *Pool) Stats() Stats                                    { return Stats{} }
func (p *Pool) Requests(n int) []proxy.Trace                    { return nil }
func (p *Pool) Sessions() []Session                             { return nil }
func (p *Pool) DropSession(id string) bool                      { return false }
func (p *Pool) Targets() []TargetInfo                           { return nil }
func (p *Pool) Forgive(domain string) bool                      { return false }
func (p *Pool) Wait(ctx context.Context, want proxy.Want) error { <-ctx.Done(); return ctx.Err() }
func (p *Pool) Eligible(want proxy.Want) int                    { return 0 }
func (p *Pool) Explain(want proxy.Want) Explanation             { return Explanation{} }
