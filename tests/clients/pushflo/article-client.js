// Client: Connect to PushFlo, not to your server
import { PushFloClient } from '@pushflodev/sdk';
const client = new PushFloClient({ publishKey: 'YOUR_PUBLISH_KEY' });
client.connect();
client.subscribe('notifications', {
  onMessage: (data) => {
    showNotification(data);
  },
});
