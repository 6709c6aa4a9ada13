// What the tests ask of Kafka's clients, in one process a call:
//
//   KafkaSide create BOOTSTRAP          makes topics; stdin has lines NAME PARTITIONS KEY=VALUE,...
//   KafkaSide produce BOOTSTRAP         writes the records of Kafka's side
//   KafkaSide read BOOTSTRAP uncommitted|committed TOPIC...
//   KafkaSide cursors BOOTSTRAP GROUP   the group's offsets, as TOPIC PARTITION OFFSET
//
// Records go to stdout, a line each:
//
//   TOPIC PARTITION OFFSET TIMESTAMP KEY VALUE HEADERS [committed|aborted]
//
// with tabs between; KEY and VALUE in hex, - for null; HEADERS are NAME=VALUE, in hex, with commas.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class KafkaSide {
  static final long FIRST_TIME_MS = 1732272000000L;
  static final Duration PATIENCE = Duration.ofSeconds(60);
  static final StringBuilder OUT = new StringBuilder();

  public static void main(String[] args) throws Exception {
    switch (args[0]) {
      case "create" -> create(args[1]);
      case "produce" -> produce(args[1]);
      case "read" -> read(args[1], args[2], Arrays.copyOfRange(args, 3, args.length));
      case "cursors" -> cursors(args[1], args[2]);
      default -> throw new IllegalArgumentException(args[0]);
    }
    System.out.write(OUT.toString().getBytes(StandardCharsets.UTF_8));
    System.out.flush();
  }

  static Properties at(String bootstrap) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    return properties;
  }

  static void create(String bootstrap) throws Exception {
    List<NewTopic> topics = new ArrayList<>();
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] words = line.split(" ");
      Map<String, String> configs = new HashMap<>();
      for (String config : words[2].split(",")) {
        String[] pair = config.split("=");
        configs.put(pair[0], pair[1]);
      }
      topics.add(new NewTopic(words[0], Integer.parseInt(words[1]), (short) 1).configs(configs));
    }
    try (Admin admin = Admin.create(at(bootstrap))) {
      admin.createTopics(topics).all().get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }
  }

  static void cursors(String bootstrap, String group) throws Exception {
    try (Admin admin = Admin.create(at(bootstrap))) {
      admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()
          .get(PATIENCE.toSeconds(), TimeUnit.SECONDS)
          .forEach((partition, offset) -> OUT.append(partition.topic()).append('\t')
              .append(partition.partition()).append('\t').append(offset.offset()).append('\n'));
    }
  }

  // --- Reading ---

  static void read(String bootstrap, String isolation, String[] topics) {
    Properties properties = at(bootstrap);
    properties.put("isolation.level", "read_" + isolation);
    properties.put("enable.auto.commit", "false");
    try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
        properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> partitions = new ArrayList<>();
      for (String topic : topics) {
        consumer.partitionsFor(topic)
            .forEach(info -> partitions.add(new TopicPartition(topic, info.partition())));
      }
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      long deadline = System.nanoTime() + PATIENCE.toNanos();
      while (ends.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
        if (System.nanoTime() > deadline) throw new IllegalStateException("records do not come");
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
          tell(record.topic(), record.partition(), record.offset(), record.timestamp(),
              record.key(), record.value(), record.headers(), "");
        }
      }
    }
  }

  static String hex(byte[] bytes) {
    return bytes == null ? "-" : HexFormat.of().formatHex(bytes);
  }

  static void tell(String topic, int partition, long offset, long timestamp, byte[] key,
      byte[] value, Headers headers, String fate) {
    OUT.append(topic).append('\t').append(partition).append('\t').append(offset).append('\t')
        .append(timestamp).append('\t').append(hex(key)).append('\t').append(hex(value))
        .append('\t');
    String comma = "";
    for (Header header : headers) {
      OUT.append(comma).append(hex(header.key().getBytes(StandardCharsets.UTF_8))).append('=')
          .append(hex(header.value()));
      comma = ",";
    }
    if (!fate.isEmpty()) OUT.append('\t').append(fate);
    OUT.append('\n');
  }

  // --- Producing ---

  record Sent(ProducerRecord<byte[], byte[]> record, Future<RecordMetadata> metadata) {}

  static KafkaProducer<byte[], byte[]> producer(String bootstrap, String... settings) {
    Properties properties = at(bootstrap);
    properties.put("linger.ms", "5");
    for (int i = 0; i < settings.length; i += 2) properties.put(settings[i], settings[i + 1]);
    return new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  // Keys and values of all kinds, with none to two headers.
  static ProducerRecord<byte[], byte[]> shape(String topic, int partition, int number) {
    byte[] key = number % 5 == 0 ? null : bytes("sensors/thermo-" + number % 100);
    byte[] value = number % 7 == 0 ? null
        : bytes("{\"device\":\"thermo-" + number % 100 + "\",\"t\":" + number * 7919 % 1000 + "}");
    ProducerRecord<byte[], byte[]> record =
        new ProducerRecord<>(topic, partition, FIRST_TIME_MS + number, key, value);
    if (number % 3 > 0) record.headers().add(new RecordHeader("n", bytes("" + number)));
    if (number % 3 > 1) record.headers().add(new RecordHeader("nothing", (byte[]) null));
    return record;
  }

  static void send(KafkaProducer<byte[], byte[]> producer, List<Sent> sent, String topic,
      int partition, int first, int count) {
    for (int number = first; number < first + count; ++number) {
      ProducerRecord<byte[], byte[]> record = shape(topic, partition, number);
      sent.add(new Sent(record, producer.send(record)));
    }
    producer.flush();
  }

  static void tellSent(List<Sent> sent, String fate) throws Exception {
    for (Sent one : sent) {
      RecordMetadata metadata = one.metadata.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
      tell(metadata.topic(), metadata.partition(), metadata.offset(), one.record.timestamp(),
          one.record.key(), one.record.value(), one.record.headers(), fate);
    }
  }

  static void produce(String bootstrap) throws Exception {
    for (String codec : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
      // With and without a producer's id and sequence.
      for (String idempotent : new String[] {"true", "false"}) {
        List<Sent> sent = new ArrayList<>();
        try (KafkaProducer<byte[], byte[]> producer = producer(bootstrap, "compression.type", codec,
            "enable.idempotence", idempotent, "batch.size", "100000")) {
          int partition = idempotent.equals("true") ? 0 : 1;
          send(producer, sent, "kafka-" + codec, partition, 0, 1);  // a batch of its own
          for (int first = 1; first < 4001; first += 1000) {
            send(producer, sent, "kafka-" + codec, partition, first, 1000);
          }
          tellSent(sent, "committed");
        }
      }
    }
    transactions(bootstrap);
    updates(bootstrap);
  }

  // Two producers' transactions, intertwined; every second one of each is aborted; and records of
  // nobody's transaction between them.
  static void transactions(String bootstrap) throws Exception {
    String topic = "kafka-transactions";
    try (KafkaProducer<byte[], byte[]> a =
            producer(bootstrap, "transactional.id", "a", "compression.type", "lz4");
        KafkaProducer<byte[], byte[]> b = producer(bootstrap, "transactional.id", "b");
        KafkaProducer<byte[], byte[]> plain = producer(bootstrap, "compression.type", "gzip")) {
      a.initTransactions();
      b.initTransactions();
      for (int round = 0; round < 6; ++round) {
        List<Sent> ofA = new ArrayList<>();
        List<Sent> ofB = new ArrayList<>();
        List<Sent> ofPlain = new ArrayList<>();
        a.beginTransaction();
        b.beginTransaction();
        for (int part = 0; part < 3; ++part) {
          send(a, ofA, topic, part % 2, round * 1000 + part * 10, 10);
          send(b, ofB, topic, part % 2, round * 1000 + 100 + part * 10, 10);
          send(plain, ofPlain, topic, part % 2, round * 1000 + 200 + part * 10, 10);
        }
        boolean commits = round % 2 == 0;
        if (commits) a.commitTransaction(); else a.abortTransaction();
        if (commits) b.abortTransaction(); else b.commitTransaction();
        tellSent(ofA, commits ? "committed" : "aborted");
        tellSent(ofB, commits ? "aborted" : "committed");
        tellSent(ofPlain, "committed");
      }
    }
  }

  // A compacted topic: fifty keys, again and again, in segments that the broker's cleaner takes.
  static void updates(String bootstrap) throws Exception {
    List<Sent> sent = new ArrayList<>();
    try (KafkaProducer<byte[], byte[]> producer =
        producer(bootstrap, "compression.type", "snappy", "batch.size", "4000")) {
      Random random = new Random(1);
      for (int number = 0; number < 60000; ++number) {
        byte[] value = new byte[100];
        for (int i = 0; i < value.length; ++i) value[i] = (byte) ('a' + random.nextInt(26));
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>("kafka-compacted", 0,
            FIRST_TIME_MS + number, bytes("device-" + number % 50), value);
        sent.add(new Sent(record, producer.send(record)));
      }
      producer.flush();
      tellSent(sent, "committed");
    }
  }
}
