// Package scraper turns public proxy lists into candidates, on a cron schedule.
//
// A Source is data: where a list is, how it is written and what its entries
// are. Parse reads every format; Scraper fetches the sources when they are due
// and gives what it finds to a Sink. Nothing that a list contains is believed:
// entries outside proxy.AddrPolicy are refused here, and checked again wherever
// they are used.
//
// No source can end anything. A fetch that fails, a list that turns into
// garbage and a parser that panics are all recorded in the source's Result,
// and what the source gave before stays.
package scraper
