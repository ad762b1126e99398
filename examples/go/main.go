// A copy of every payment's status, kept by nothing but the topic. Keep seen and last in your database.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(or("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092")),
		kgo.ConsumeTopics(or("TOPIC", "payments.events.test")),
		kgo.ConsumerGroup("shop-go"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		panic(err)
	}
	seen, last := map[string]bool{}, map[string]int{}
	for ctx := context.Background(); ; {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(topic string, _ int32, err error) { fmt.Fprintln(os.Stderr, topic, err) })
		fetches.EachRecord(func(record *kgo.Record) {
			ce := map[string]string{}
			for _, header := range record.Headers {
				ce[header.Key] = string(header.Value)
			}
			sequence, _ := strconv.Atoi(ce["ce_sequence"])
			if !seen[ce["ce_id"]] && sequence > last[ce["ce_subject"]] {
				fmt.Println("new", ce["ce_id"], ce["ce_type"], ce["ce_subject"], sequence) // record.Value: the event
				last[ce["ce_subject"]] = sequence
			}
			seen[ce["ce_id"]] = true
		})
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

func or(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
