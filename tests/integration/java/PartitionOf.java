import org.apache.kafka.common.utils.Utils;
import java.nio.charset.StandardCharsets;

/** Where Java's producers put a key: what DefaultPartitioner and its successors compute for records with a key. */
public class PartitionOf {
    public static void main(String[] args) {
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < 1000; i++) {
            byte[] key = (i % 2 == 0 ? "key-" + i : "schl\u00fcssel-\u65e5-" + i).getBytes(StandardCharsets.UTF_8);
            int hash = Utils.toPositive(Utils.murmur2(key));
            for (String count : args)
                out.append(hash % Integer.parseInt(count)).append(' ');
            out.append('\n');
        }
        System.out.print(out);
    }
}
