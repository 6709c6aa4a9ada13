// The load of bench_mqtt_load for Apache Kafka, by Kafka's own producer:
//
//   KafkaLoad load BOOTSTRAP IN_FLIGHT BYTES SECONDS    one producer with so many records in
//                                                       flight; 0: as many as its buffer takes
//   KafkaLoad topics BOOTSTRAP COUNT                    makes so many topics
//
// Counted is what was acknowledged, after five seconds that are not (until the JVMs have compiled
// what is hot), to the last acknowledgement. Prints one line of JSON.
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class KafkaLoad {
  static final long WARM_UP_NS = 5_000_000_000L;
  static final int UNLIMITED = 1 << 30;
  // Latencies are kept for so many records at most: each of one in flight, the first of a flood.
  static final int MOST_LATENCIES = 1 << 20;

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "load" -> load(args[1], Integer.parseInt(args[2]), Integer.parseInt(args[3]),
          Double.parseDouble(args[4]));
      case "topics" -> topics(args[1], Integer.parseInt(args[2]));
      default -> throw new IllegalArgumentException(args[0]);
    }
  }

  static void topics(String bootstrap, int count) throws Exception {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    try (Admin admin = Admin.create(properties)) {
      List<NewTopic> wanted = IntStream.range(0, count)
          .mapToObj(i -> new NewTopic("topic-" + i, 1, (short) 1)).toList();
      admin.createTopics(wanted).all().get();
    }
  }

  // Acks, idempotence and the buffer are the producer's defaults; batches are larger, as one would
  // set them for bulk, and nothing lingers when something waits for each answer.
  static Properties settings(String bootstrap, int inFlight) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    properties.put("acks", "all");
    properties.put("linger.ms", inFlight == 0 ? "5" : "0");
    properties.put("batch.size", "262144");
    properties.put("key.serializer", ByteArraySerializer.class.getName());
    properties.put("value.serializer", ByteArraySerializer.class.getName());
    return properties;
  }

  static void load(String bootstrap, int inFlight, int bytes, double seconds) throws Exception {
    try (var producer = new KafkaProducer<byte[], byte[]>(settings(bootstrap, inFlight))) {
      Run warmUp = new Run(inFlight);
      warmUp.go(producer, bytes, WARM_UP_NS);
      Run run = new Run(inFlight);
      run.go(producer, bytes, (long) (seconds * 1e9));
      System.out.printf(Locale.ROOT,
          "{\"messages\": %d, \"messages_per_s\": %.1f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}%n",
          run.acknowledged.get(), run.acknowledged.get() / run.seconds, run.percentileMs(0.5),
          run.percentileMs(0.99));
    }
  }

  static class Run {
    final Semaphore room;
    final AtomicLong acknowledged = new AtomicLong();
    final AtomicReference<Exception> failure = new AtomicReference<>();
    final long[] latencies = new long[MOST_LATENCIES];
    double seconds;

    Run(int inFlight) {
      room = new Semaphore(inFlight == 0 ? UNLIMITED : inFlight);
    }

    void go(KafkaProducer<byte[], byte[]> producer, int bytes, long nanoseconds) throws Exception {
      byte[] value = new byte[bytes];
      Arrays.fill(value, (byte) 'v');
      long began = System.nanoTime();
      long sent = began;
      while (sent - began < nanoseconds && failure.get() == null) {
        room.acquire();
        sent = System.nanoTime();
        long at = sent;
        producer.send(new ProducerRecord<>("readings", value), (metadata, error) -> {
          if (error != null) {
            failure.compareAndSet(null, error);
          } else {
            long number = acknowledged.getAndIncrement();
            if (number < MOST_LATENCIES) latencies[(int) number] = System.nanoTime() - at;
          }
          room.release();
        });
      }
      producer.flush();
      seconds = (System.nanoTime() - began) / 1e9;
      if (failure.get() != null) throw failure.get();
    }

    double percentileMs(double share) {
      int count = (int) Math.min(acknowledged.get(), MOST_LATENCIES);
      if (count == 0) return 0;
      long[] sorted = Arrays.copyOf(latencies, count);
      Arrays.sort(sorted);
      return sorted[(int) (share * (count - 1))] / 1e6;
    }
  }
}
